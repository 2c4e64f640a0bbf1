// The frame around a node's results: a line with their gist that folds them away, and their height for the host.

import { element } from "../dom.js"
import { say } from "../words.js"

// `view` has root, and gist() → the results in a few words, "" while there are none. `fold` is {read() → folded,
// write(folded)}. `onHeight(pixels)` is called whenever the content's own height changes.
export function resultFrame({ view, title, fold, onHeight }) {
  const gist = element("span", { class: "modiste-gist" })
  const button = element(
    "button",
    { type: "button", class: "modiste-fold", on: { click: toggle } },
    element("span", { class: "modiste-fold-mark", "aria-hidden": "true" }),
    element("strong", {}, title),
    gist,
  )
  const content = element("div", { class: "modiste-content" }, button, view.root)
  const root = element("div", { class: "modiste-frame" }, content)

  function toggle() {
    fold.write(!fold.read())
    draw()
  }

  function draw() {
    const folded = Boolean(fold.read())
    const words = view.gist?.() ?? ""
    button.hidden = !words && !folded
    button.setAttribute("aria-expanded", folded ? "false" : "true")
    button.title = say(folded ? "unfold" : "fold")
    gist.replaceChildren(folded ? words : "")
    view.root.hidden = folded
  }

  // Heights in the content's own pixels: the host's zoom is a transform, which changes none of them.
  new ResizeObserver(() => {
    const height = Math.ceil(content.offsetHeight)
    if (height) onHeight(height) // nothing is said while the node is out of sight
  }).observe(content)
  draw()
  return { root, refresh: draw }
}
