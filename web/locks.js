// The prompt builder's `locks` input: {group: text} as JSON, "" where nothing is locked. Pure: no page, no host.

// → {locks, broken}: `broken` where the text is no such object; then nothing may be written over it unasked.
export function readLocks(text) {
  if (!String(text ?? "").trim()) return { locks: {}, broken: false }
  try {
    const parsed = JSON.parse(text)
    const whole = parsed && typeof parsed === "object" && !Array.isArray(parsed)
    if (!whole || !Object.values(parsed).every((value) => typeof value === "string")) return { locks: {}, broken: true }
    return { locks: parsed, broken: false }
  } catch {
    return { locks: {}, broken: true }
  }
}

export const writeLocks = (locks) => (Object.keys(locks).length ? JSON.stringify(locks) : "")

export const withLock = (locks, group, text) => ({ ...locks, [group]: text })

export const withoutLock = (locks, group) => Object.fromEntries(Object.entries(locks).filter(([id]) => id !== group))
