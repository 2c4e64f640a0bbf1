// The loss curve's geometry: points → paths within a frame. Pure: no page, no host.

import { clamp, linear, ticks } from "./scale.js"

const usable = (points) => (points ?? []).filter(([step, value]) => Number.isFinite(step) && Number.isFinite(value))

// Exponential moving average, corrected for its start (Kingma & Ba 2015, section 3); `keep` in [0, 1).
export function smooth(points, keep) {
  let average = 0
  let weight = 0
  return usable(points).map(([step, value]) => {
    average = keep * average + (1 - keep) * value
    weight = keep * weight + (1 - keep)
    return [step, average / weight]
  })
}

// At most `most` points: of every bucket the lowest and the highest, so that a spike is never lost.
export function thin(points, most) {
  const all = usable(points)
  if (all.length <= most) return all
  const size = Math.ceil((2 * all.length) / most)
  const kept = []
  for (let start = 0; start < all.length; start += size) {
    const bucket = all.slice(start, start + size)
    const low = bucket.reduce((best, point) => (point[1] < best[1] ? point : best))
    const high = bucket.reduce((best, point) => (point[1] > best[1] ? point : best))
    kept.push(...(low === high ? [low] : [low, high].sort((one, other) => one[0] - other[0])))
  }
  return kept
}

const number = (value) => String(Math.round(value * 10) / 10)

export const path = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${number(x)} ${number(y)}`).join("")

// The losses' axis: from the lowest to the 98th percentile, so that one spike does not flatten the rest.
function lossRange(losses, heldOut) {
  const sorted = losses.map(([, value]) => value).sort((one, other) => one - other)
  const typical = sorted.length ? [sorted[0], sorted[Math.floor((sorted.length - 1) * 0.98)]] : []
  const held = heldOut.flatMap((each) => [each.loss, each.low, each.high]).filter(Number.isFinite)
  const values = [...typical, ...held]
  if (!values.length) return [0, 1]
  const low = Math.min(...values)
  const high = Math.max(...values)
  const air = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1
  return [Math.max(0, low - air), high + air]
}

// held_out: {step, loss, mean, low, high}: the loss, and the paired gain over the base model with its interval. A gain
// that is higher by some amount is a loss that is lower by it: so the gain's interval is drawn around the loss.
function withBand({ step, loss, mean, low, high }) {
  const around = (bound) => (Number.isFinite(mean) && Number.isFinite(bound) ? loss - (bound - mean) : loss)
  return { step, loss, low: Math.min(around(low), around(high)), high: Math.max(around(low), around(high)) }
}

// Everything that the drawing needs, in pixels of a frame `width` × `height`.
export function layout(run, { width, height, keep = 0.9, margin = { left: 40, right: 12, top: 12, bottom: 24 } }) {
  const raw = usable(run.losses)
  const told = ({ step, loss }) => Number.isFinite(step) && Number.isFinite(loss)
  const held = (run.heldOut ?? []).filter(told).map(withBand)
  const lastStep = Math.max(1, run.total || 0, raw.at(-1)?.[0] ?? 0, held.at(-1)?.step ?? 0)
  const [low, high] = lossRange(raw, held)
  const bottom = height - margin.bottom
  const x = linear(0, lastStep, margin.left, width - margin.right)
  const scaleY = linear(low, high, bottom, margin.top)
  const y = (value) => clamp(scaleY(value), margin.top, bottom)
  const place = (points) => points.map(([step, value]) => [x(step), y(value)])

  const rates = usable(run.rates)
  const top = Math.max(...rates.map(([, rate]) => rate), 0)
  const rateY = linear(0, top || 1, bottom, margin.top + (bottom - margin.top) * 0.08)
  const lossAt = (step) => held.find((each) => each.step === step)?.loss ?? nearest(smooth(raw, keep), step)

  const upper = held.map((each) => [x(each.step), y(each.high)])
  const lower = held.map((each) => [x(each.step), y(each.low)]).reverse()
  return {
    frame: { left: margin.left, right: width - margin.right, top: margin.top, bottom },
    raw: path(place(thin(raw, width))),
    smooth: path(place(thin(smooth(raw, keep), width))),
    rate: path(thin(rates, width).map(([step, rate]) => [x(step), rateY(rate)])),
    band: held.length > 1 ? `${path([...upper, ...lower])}Z` : "",
    held: path(held.map((each) => [x(each.step), y(each.loss)])),
    heldPoints: held.map((each) => ({ ...each, x: x(each.step), y: y(each.loss) })),
    checkpoints: (run.checkpoints ?? []).map((step) => ({ step, x: x(step) })),
    samples: (run.samples ?? []).map(({ step, url }) => ({ step, url, x: x(step), y: y(lossAt(step) ?? low) })),
    best: Number.isFinite(run.bestStep) && run.bestStep !== null ? { step: run.bestStep, x: x(run.bestStep) } : null,
    ticksX: ticks(0, lastStep, 4)
      .filter(Number.isInteger)
      .map((step) => ({ step, x: x(step) })),
    ticksY: ticks(low, high, 3).map((value) => ({ value, y: y(value) })),
    stepAt: (pixel) => Math.round(clamp(linear(margin.left, width - margin.right, 0, lastStep)(pixel), 0, lastStep)),
    xOf: x,
    yOf: y,
  }
}

// The value of the point whose step is nearest, or null.
export function nearest(points, step) {
  let best = null
  for (const point of points) if (best === null || Math.abs(point[0] - step) < Math.abs(best[0] - step)) best = point
  return best && best[1]
}
