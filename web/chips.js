// The `pin` and `exclude` inputs as state of the chips, and a click as an edit of the two. Pure: no page, no host.

export const NONE = "none"
export const PINNED = "pinned"
export const EXCLUDED = "excluded"
const NEXT = { [NONE]: PINNED, [PINNED]: EXCLUDED, [EXCLUDED]: NONE }

// "a:b, c" → ["a:b", "c"], each once, in order.
export function readList(text) {
  const items = String(text ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter(Boolean)
  return [...new Set(items)]
}

export const writeList = (items) => items.join(", ")

export const keyOf = (tag) => `${tag.group}:${tag.label}`

// A comma or line break would fall apart in the list: such a tag is shown, but can't be chosen.
export const writable = (key) => !/[,\n\r]/.test(key) && key.trim() === key

// State of "group:label"; `byGroup` is true where the whole group is excluded.
export function stateOf(key, pin, exclude) {
  const group = key.split(":", 1)[0]
  const excluded = readList(exclude)
  const byGroup = excluded.includes(group)
  if (byGroup || excluded.includes(key)) return { state: EXCLUDED, byGroup }
  return { state: readList(pin).includes(key) ? PINNED : NONE, byGroup: false }
}

// A click: none → pinned → excluded → none. A chip whose group is excluded takes its group back first.
export function cycle(key, pin, exclude) {
  const { state, byGroup } = stateOf(key, pin, exclude)
  const next = byGroup ? NONE : NEXT[state]
  const without = (text) => readList(text).filter((item) => item !== key && !(byGroup && item === key.split(":", 1)[0]))
  const pins = without(pin)
  const excludes = without(exclude)
  if (next === PINNED) pins.push(key)
  if (next === EXCLUDED) excludes.push(key)
  return { pin: writeList(pins), exclude: writeList(excludes) }
}

// A click on a group's name: leave the whole group out, or take it back.
export function toggleGroup(group, pin, exclude) {
  const ofGroup = (item) => item === group || item.startsWith(`${group}:`)
  const excludes = readList(exclude)
  if (excludes.includes(group)) return { pin, exclude: writeList(excludes.filter((item) => item !== group)) }
  const pins = readList(pin).filter((item) => !ofGroup(item))
  return { pin: writeList(pins), exclude: writeList([...excludes.filter((item) => !ofGroup(item)), group]) }
}

// The chips of one photo by group: what the tagger found, and what the inputs name though it was not found, so that
// an excluded tag can be taken back.
// → [{group, excluded, chips: [{key, group, label, text, confidence|null, state}]}]
export function chipGroups(tags, pin, exclude, order = []) {
  const groups = new Map()
  const put = (chip) => {
    if (!groups.has(chip.group)) groups.set(chip.group, new Map())
    const chips = groups.get(chip.group)
    const key = keyOf(chip)
    if (!chips.has(key)) chips.set(key, { ...chip, key, ...stateOf(key, pin, exclude) })
  }
  for (const tag of tags ?? []) {
    put({
      group: String(tag.group),
      label: String(tag.label),
      text: String(tag.text || tag.label),
      confidence: tag.confidence,
    })
  }
  for (const item of [...readList(pin), ...readList(exclude)]) {
    const colon = item.indexOf(":")
    const [group, label] = colon < 0 ? [item, null] : [item.slice(0, colon), item.slice(colon + 1)]
    if (label === null) groups.has(group) || groups.set(group, new Map())
    else put({ group, label, text: label.replaceAll("_", " "), confidence: null })
  }
  const place = (group) => (order.includes(group) ? order.indexOf(group) : order.length)
  const excluded = readList(exclude)
  return [...groups]
    .sort(([one], [other]) => place(one) - place(other))
    .map(([group, chips]) => ({ group, excluded: excluded.includes(group), chips: [...chips.values()] }))
}
