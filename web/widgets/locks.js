// A prompt's fields that a person holds fast: one row a group, with the words that stand there whatever is tagged.

import { element } from "../dom.js"
import { readLocks, withLock, withoutLock, writeLocks } from "../locks.js"
import { say } from "../words.js"

// `input` is {read() → {text, editable}, write(text)}; `vocabulary()` the groups.
export function locksWidget({ input, vocabulary = () => [] }) {
  const rows = element("div", { class: "modiste-locks" })
  const add = element("select", { class: "modiste-add", "aria-label": say("lock_add"), on: { change: addChosen } })
  const hint = element("p", { class: "modiste-hint" })
  const root = element(
    "section",
    { class: "modiste modiste-prompt-fields", "aria-label": say("locks") },
    rows,
    add,
    hint,
  )

  let known = null // the text that is drawn: this widget's own writing is no reason to draw anew and lose the focus
  const write = (locks) => input.write((known = writeLocks(locks)))
  const nameOf = (id) => vocabulary().find((group) => group.id === id)?.name ?? id.replaceAll("_", " ")

  function addChosen() {
    if (!add.value) return
    const group = add.value
    write(withLock(readLocks(input.read().text).locks, group, ""))
    draw()
    rows.querySelector(`[data-group="${CSS.escape(group)}"] input`)?.focus()
  }

  function row(group, text) {
    const field = element("input", {
      type: "text",
      value: text,
      "aria-label": say("lock_text", { group: nameOf(group) }),
      placeholder: say("lock_placeholder"),
      on: {
        input: () => write(withLock(readLocks(input.read().text).locks, group, field.value)),
        keydown: (event) => event.stopPropagation(), // the graph's own keys stay out of the text
      },
    })
    const release = () => {
      write(withoutLock(readLocks(input.read().text).locks, group))
      draw()
      add.focus()
    }
    return element(
      "label",
      { class: "modiste-lock", "data-group": group },
      element("span", {}, nameOf(group)),
      field,
      element(
        "button",
        {
          type: "button",
          "aria-label": say("lock_release", { group: nameOf(group) }),
          title: say("lock_release", { group: nameOf(group) }),
          on: { click: release },
        },
        "×",
      ),
    )
  }

  function draw() {
    const { text, editable } = input.read()
    const { locks, broken } = readLocks(text)
    known = text
    const free = vocabulary().filter(({ id }) => !(id in locks))
    rows.replaceChildren(...Object.entries(locks).map(([group, words]) => row(group, words)))
    add.replaceChildren(
      element("option", { value: "" }, say("lock_add")),
      ...free.map(({ id, name }) => element("option", { value: id }, name ?? id)),
    )
    add.hidden = broken || !editable || !free.length
    rows.inert = !editable
    hint.replaceChildren(broken ? say("locks_broken") : Object.keys(locks).length ? "" : say("locks_hint"))
  }

  draw()
  return {
    root,
    gist: () => Object.values(readLocks(input.read().text).locks).filter(Boolean).join(", "),
    refresh() {
      if (input.read().text !== known) draw()
    },
  }
}
