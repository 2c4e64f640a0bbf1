// The notes and titles of our templates in the page's language. Pure: no page, no host.

const TITLED = /^((Markdown)?Note|PreviewAny)$/ // the kinds that our templates give titles to

const sameText = (one, other) => String(one ?? "").trim() === String(other).trim()

// Changes `graph`, a workflow's file as it is opened: only texts that stand there as the template has them in English;
// whatever a person has written stays. `english` and `words` are {key: text}.
export function translateTemplate(graph, english, words) {
  if (english === words) return graph
  const translated = (text) => {
    const key = Object.keys(english).find((each) => sameText(text, english[each]))
    return (key && words[key]) || text
  }
  for (const group of graph?.groups ?? []) group.title = translated(group.title)
  for (const node of graph?.nodes ?? []) {
    if (node.title && TITLED.test(node.type)) node.title = translated(node.title)
    if (/^(Markdown)?Note$/.test(node.type) && Array.isArray(node.widgets_values))
      node.widgets_values = node.widgets_values.map(translated)
  }
  return graph
}
