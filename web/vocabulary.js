// The words for groups and labels in the page's language; the prompt's own words stay English. Pure: no page, no host.

// A language falls back on its first part, Chinese of one script on the other, everything on English.
const inLanguage = (names, language) => {
  const base = String(language).split("-")[0]
  const near = base === "zh" ? (names["zh-TW"] ?? names.zh) : undefined
  return names[language] ?? names[base] ?? near ?? names.en
}

// The groups of GET /modiste/vocabulary with a `name`, and a Map of label names by id and by the prompt's words.
export function vocabularyIn(groups, language) {
  return groups.map(({ id, names, colour_index, labels }) => {
    const named = new Map()
    for (const [label, { text, names: own }] of Object.entries(labels ?? {})) {
      const name = inLanguage(own ?? {}, language)
      if (name && !String(language).startsWith("en")) for (const key of [text, label]) named.set(key, name)
    }
    return { id, name: inLanguage(names ?? {}, language) ?? id, colour_index, labels: named }
  })
}

const plain = (text) => String(text).replaceAll("_", " ")

export const groupName = (vocabulary, id) => vocabulary.find((group) => group.id === id)?.name ?? plain(id)

// The name of a tag, by its label's id or by the words that stand in the prompt.
export function labelName(vocabulary, group, label, text = label) {
  const known = vocabulary.find(({ id }) => id === group)?.labels
  return known?.get(label) ?? known?.get(text) ?? plain(text)
}
