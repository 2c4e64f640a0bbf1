// The tags of one picture in a card over the page: to read, and its caption to copy.

import { copyText, element } from "../dom.js"
import { say } from "../words.js"
import { tagsWidget } from "./tags.js"

// → a <dialog> that removes itself when it closes; `showModal()` opens it. `notice`: what the server says of its encoder.
export function tagsCard({ name, tags, caption, notice = "", vocabulary, copy = copyText }) {
  const view = tagsWidget({ vocabulary })
  view.show([{ tags, caption }])
  const press = async (event) => {
    const button = event.currentTarget
    await copy(String(caption))
    button.replaceChildren(say("copied"))
  }
  const card = element(
    "dialog",
    {
      class: "modiste",
      "aria-label": say("tags_of", { name }),
      on: { close: () => card.remove(), keydown: (event) => event.stopPropagation() },
    },
    element("header", {}, element("strong", {}, say("tags_of", { name }))),
    view.root,
    notice ? element("p", { class: "modiste-notice" }, notice) : null,
    element(
      "footer",
      {},
      element("button", { type: "button", on: { click: press } }, say("copy_caption")),
      element("button", { type: "button", autofocus: true, on: { click: () => card.close() } }, say("close")),
    ),
  )
  document.body.append(card)
  return card
}
