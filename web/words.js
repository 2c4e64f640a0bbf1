// The page's own sentences, from locales/<language>/main.json under "modiste" as ComfyUI's server hands them out.

let sentences = {}
let english = {}

// `translations` is the answer of GET /i18n: {language: {…, modiste: {key: text}}}.
export function speak(translations, language) {
  english = translations?.en?.modiste ?? {}
  sentences = translations?.[language]?.modiste ?? translations?.[String(language).split("-")[0]]?.modiste ?? english
}

// The sentence of `key` with its {values}; the key itself where no language has it.
export function say(key, values = {}) {
  const sentence = sentences[key] ?? english[key] ?? key
  return sentence.replace(/{(\w+)}/g, (whole, name) => (name in values ? String(values[name]) : whole))
}
