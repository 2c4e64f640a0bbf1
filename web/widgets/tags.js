// The tags of each photo as chips by group: a click pins, leaves out, or lets go, by editing `pin` and `exclude`.

import { EXCLUDED, PINNED, chipGroups, cycle, toggleGroup, writable } from "../chips.js"
import { element, walkable } from "../dom.js"
import { clamp, points } from "../scale.js"
import { groupName, labelName } from "../vocabulary.js"
import { say } from "../words.js"

// `inputs` is {read() → {pin, exclude, editable}, write({pin, exclude})}; without it the chips only show.
// `vocabulary` is the list of groups ({id, name, colour_index}). `show({photos})` draws; `refresh()` draws again.
export function tagsWidget({ inputs = null, vocabulary = () => [], confidences = () => true } = {}) {
  let photos = []
  let chosen = 0

  const tabs = element("div", { class: "modiste-tabs", role: "tablist", "aria-label": say("photos") })
  const list = element("div", { class: "modiste-chip-groups" })
  const caption = element("p", { class: "modiste-caption" })
  const hint = element("p", { class: "modiste-hint" })
  const root = element(
    "section",
    { class: "modiste modiste-tags", "aria-label": say("tags") },
    tabs,
    list,
    caption,
    hint,
  )
  const settleTabs = walkable(tabs, "button")
  const settleChips = walkable(list, "button")

  const values = () => inputs?.read() ?? { pin: "", exclude: "", editable: false }

  function edit(change, focusKey) {
    const { pin, exclude } = values()
    inputs.write(change(pin, exclude))
    draw()
    list.querySelector(`[data-key="${CSS.escape(focusKey)}"]`)?.focus()
  }

  function chip(one, editable) {
    const known = Number.isFinite(one.confidence)
    const percent = known ? clamp(one.confidence, 0, 1) : 0
    const name = labelName(vocabulary(), one.group, one.label, one.text)
    const text = name === one.text ? name : `${name} (${one.text})`
    const group = groupName(vocabulary(), one.group)
    const words = { text, group, percent: points(percent), state: say(`state_${one.state}`) }
    return element(
      "button",
      {
        type: "button",
        class: "modiste-chip",
        "data-state": one.state,
        "data-key": one.key,
        "data-found": known,
        style: `--confidence:${percent}`,
        "aria-pressed": one.state === PINNED ? "true" : one.state === EXCLUDED ? "mixed" : "false",
        "aria-label": say(known ? "chip_label" : "chip_label_absent", words),
        "aria-disabled": editable && writable(one.key) ? null : "true",
        title: say(known ? "chip_label" : "chip_label_absent", words),
        on: {
          click: () => editable && writable(one.key) && edit((pin, exclude) => cycle(one.key, pin, exclude), one.key),
        },
      },
      element("span", { class: "modiste-mark", "aria-hidden": "true" }),
      element("span", { class: "modiste-chip-text" }, name),
      known && confidences() ? element("span", { class: "modiste-chip-figure" }, points(percent)) : null,
    )
  }

  function group({ group: id, excluded, chips }, editable) {
    const known = vocabulary().find((each) => each.id === id)
    const name = groupName(vocabulary(), id)
    const index = known?.colour_index ?? [...id].reduce((sum, letter) => sum + letter.charCodeAt(0), 0)
    const heading = element(
      "button",
      {
        type: "button",
        class: "modiste-group-name",
        "data-key": id,
        "aria-pressed": excluded ? "true" : "false",
        "aria-disabled": editable && writable(id) ? null : "true",
        title: say(excluded ? "group_take_back" : "group_leave_out", { group: name }),
        on: { click: () => editable && writable(id) && edit((pin, exclude) => toggleGroup(id, pin, exclude), id) },
      },
      name,
    )
    const row = element(
      "div",
      { class: "modiste-chips" },
      chips.map((one) => chip(one, editable)),
    )
    const style = `--hue:${(20 + Number(index) * 137.508) % 360}`
    return element(
      "div",
      { class: "modiste-group", role: "group", "aria-label": name, "data-excluded": excluded, style },
      heading,
      row,
    )
  }

  function draw() {
    chosen = clamp(chosen, 0, Math.max(0, photos.length - 1))
    const { pin, exclude, editable } = values()
    const order = vocabulary().map(({ id }) => id)
    const groups = chipGroups(photos[chosen]?.tags, pin, exclude, order)
    tabs.replaceChildren(...(photos.length > 1 ? photos.map((_, index) => tab(index)) : []))
    list.replaceChildren(...groups.map((each) => group(each, editable)))
    caption.replaceChildren(photos[chosen]?.caption ?? "")
    hint.replaceChildren(
      groups.length ? (inputs ? say(editable ? "chips_hint" : "chips_linked") : "") : say("chips_empty"),
    )
    settleTabs()
    settleChips()
  }

  function tab(index) {
    const select = () => {
      chosen = index
      draw()
      tabs.children[index].focus()
    }
    return element(
      "button",
      { type: "button", role: "tab", "aria-selected": index === chosen ? "true" : "false", on: { click: select } },
      String(index + 1),
    )
  }

  draw()
  return {
    root,
    show(payload) {
      photos = payload ?? []
      draw()
    },
    gist: () => photos[chosen]?.caption ?? "",
    refresh: draw,
  }
}
