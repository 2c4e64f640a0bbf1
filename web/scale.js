// Where a value stands on a drawn axis. Pure: no page, no host.

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value))

// A linear map from [from, to] to [low, high]; a range without width maps to the middle.
export function linear(from, to, low, high) {
  const span = to - from
  return span ? (value) => low + ((value - from) / span) * (high - low) : () => (low + high) / 2
}

// 0…1 → "0"…"100"; a dash for what is no number.
export const points = (value) => (Number.isFinite(value) ? String(Math.round(value * 100)) : "–")

// A difference in points with its sign, one decimal; −0 is 0.
export function signed(value) {
  if (!Number.isFinite(value)) return "–"
  const rounded = Math.round(value * 1000) / 10
  if (rounded === 0) return "0.0"
  return (rounded > 0 ? "+" : "−") + Math.abs(rounded).toFixed(1)
}

// At most about `count` round values that lie within [low, high].
export function ticks(low, high, count = 4) {
  const span = high - low
  if (!(span > 0) || !Number.isFinite(span)) return [low].filter(Number.isFinite)
  const raw = span / count
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999)
  const first = Math.ceil(low / step - 1e-9)
  const found = []
  for (let at = first; at * step <= high + step * 1e-9; at++) found.push(Number((at * step).toPrecision(12)))
  return found
}

// The part of the gauge's bar that a score fills, and the word for it.
export function verdictOf(similarity) {
  if (!Number.isFinite(similarity)) return "unknown"
  return similarity >= 0.75 ? "same" : similarity >= 0.4 ? "close" : similarity > 0.1 ? "kin" : "other"
}
