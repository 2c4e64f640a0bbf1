// Which picture a node shows, as the server knows it. Pure: no page, no host.

const KINDS = ["input", "output", "temp"]

function fromAddress(address) {
  const query = new URL(address, "http://host/").searchParams
  const filename = query.get("filename")
  return filename ? { filename, subfolder: query.get("subfolder") ?? "", type: query.get("type") ?? "output" } : null
}

// "folder/name.png [input]", as LoadImage's widget has it.
function fromWidget(text) {
  const [, whole, type] = /^(.*?)(?: \[(\w+)\])?$/.exec(String(text)) ?? []
  if (!whole || (type && !KINDS.includes(type))) return null
  const cut = whole.lastIndexOf("/")
  return { filename: whole.slice(cut + 1), subfolder: cut < 0 ? "" : whole.slice(0, cut), type: type ?? "input" }
}

// {filename, subfolder, type} of the node's chosen picture, or null where it shows none.
export function imageOf(node, outputs = {}) {
  const index = node.imageIndex ?? node.overIndex ?? 0
  const shown = node.imgs?.[index] ?? node.imgs?.[0]
  const drawn = shown?.src && !shown.src.startsWith("blob:") && fromAddress(shown.src)
  if (drawn) return drawn
  const images = outputs[node.id]?.images ?? []
  const stored = images[index] ?? images[0]
  if (stored?.filename)
    return { filename: stored.filename, subfolder: stored.subfolder ?? "", type: stored.type ?? "output" }
  const widget = node.widgets?.find(
    ({ name, type, value }) => name === "image" && typeof value === "string" && value && type === "combo",
  )
  return widget ? fromWidget(widget.value) : null
}

// [[execution id, node]] of a graph and the subgraphs in it: "3", and "7:3" for node 3 within node 7.
export function executionIds(graph, before = "") {
  const nodes = graph?.nodes ?? graph?._nodes ?? []
  return nodes.flatMap((node) => {
    const id = `${before}${node.id}`
    return node.subgraph ? [[id, node], ...executionIds(node.subgraph, `${id}:`)] : [[id, node]]
  })
}
