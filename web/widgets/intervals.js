// Gains with their intervals around a line of no gain: an interval that crosses the line proves nothing.

import { drawing } from "../dom.js"
import { clamp, linear } from "../scale.js"

const WIDTH = 140
const HEIGHT = 16

// One row's drawing; `reach` is the largest |gain| of all rows, so that rows compare.
export function intervalDrawing({ mean, low, high }, reach, label) {
  const x = linear(-reach, reach, 4, WIDTH - 4)
  const at = (value) => x(clamp(Number.isFinite(value) ? value : 0, -reach, reach))
  const kind = low > 0 ? "better" : high < 0 ? "worse" : "open"
  return drawing(
    "svg",
    {
      class: "modiste-interval",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: "img",
      "aria-label": label,
      "data-kind": kind,
    },
    drawing("line", { class: "zero", x1: at(0), x2: at(0), y1: 1, y2: HEIGHT - 1 }),
    drawing("line", { class: "range", x1: at(low), x2: at(high), y1: HEIGHT / 2, y2: HEIGHT / 2 }),
    drawing("circle", { cx: at(mean), cy: HEIGHT / 2, r: 3.4 }),
  )
}

// The reach of rows of {mean, low, high}, never 0.
export function reachOf(rows) {
  const values = rows
    .flatMap(({ mean, low, high }) => [mean, low, high])
    .filter(Number.isFinite)
    .map(Math.abs)
  return Math.max(0, ...values) || 1
}
