// Elements from data: text goes in as text nodes and attributes, never as markup.

const SVG = "http://www.w3.org/2000/svg"

// `attributes` may hold `on`: {event: listener}; null and undefined leave an attribute out.
function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener)
    else if (value === null || value === undefined) continue
    else if (typeof value === "boolean" && !name.startsWith("data-")) node.toggleAttribute(name, value)
    else node.setAttribute(name, String(value))
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false))
  return node
}

export const element = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children)

export const drawing = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children)

// An address of this very server as a path, or null: a picture or link from elsewhere is never followed.
export function ownAddress(text, base = location.href) {
  try {
    const address = new URL(String(text), base)
    return address.origin === new URL(base).origin ? address.pathname + address.search : null
  } catch {
    return null
  }
}

// Arrow keys, Home and End walk through `items` of `box`; only one of them is a stop for the Tab key.
export function walkable(box, selector) {
  const items = () => [...box.querySelectorAll(selector)]
  const stop = (chosen) => items().forEach((item) => item.setAttribute("tabindex", item === chosen ? "0" : "-1"))
  box.addEventListener("keydown", (event) => {
    const all = items()
    const at = all.indexOf(event.target)
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    const next = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : step && at + step
    if (at < 0 || next === undefined) return
    event.preventDefault()
    event.stopPropagation() // ComfyUI would move the node
    const chosen = all[Math.max(0, Math.min(all.length - 1, next))]
    stop(chosen)
    chosen.focus()
  })
  box.addEventListener("focusin", (event) => items().includes(event.target) && stop(event.target))
  return () => stop(items().find((item) => item.getAttribute("tabindex") === "0") ?? items()[0])
}

// Into the clipboard; where the page is not served securely there is only the old way, over a selection.
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const field = element("textarea", { readonly: true, style: "position:fixed;opacity:0" })
  field.value = text
  const front = document.querySelector("dialog[open]") ?? document.body // nothing outside an open dialog takes focus
  front.append(field)
  field.select()
  document.execCommand("copy")
  field.remove()
}
