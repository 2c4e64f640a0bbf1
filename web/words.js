// The page's own sentences, from locales/<language>/main.json under "modiste" as ComfyUI's server hands them out.

let sentences = {}
let english = {}
let templates = [{}, {}] // the templates' words in English and in the page's language

// `translations` is the answer of GET /i18n: {language: {…, modiste: {key: text}}}.
export function speak(translations, language) {
  const known = translations?.[language] ?? translations?.[String(language).split("-")[0]]
  english = translations?.en?.modiste ?? {}
  sentences = known?.modiste ?? english
  const ours = translations?.en?.modiste_templates ?? {}
  templates = [ours, known?.modiste_templates ?? ours]
}

// The sentence of `key` with its {values}; the key itself where no language has it.
export function say(key, values = {}) {
  const sentence = sentences[key] ?? english[key] ?? key
  return sentence.replace(/{(\w+)}/g, (whole, name) => (name in values ? String(values[name]) : whole))
}

export const templateWords = () => templates
