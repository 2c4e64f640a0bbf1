// Modiste in A1111 and Forge: follows what runs, whenever a page is opened, and adds texts to prompts, replacing none.
(function () {
    const SENDS = /^modiste_(\w+)_to_(txt2img|img2img)$/; // the ids of the buttons, with page and target
    const TARGETS = { txt2img: () => switch_to_txt2img(), img2img: () => switch_to_img2img() };

    const TRIES = 30, BETWEEN_MS = 2000;

    const element = (id) => gradioApp().querySelector(`#${id}`);
    const textarea = (id) => element(id)?.querySelector("textarea");

    // A text as the WebUI reads it → its prompt and its negative prompt, without the line of settings.
    function parts(text) {
        const lines = text.split("\n").filter((line) => !/^Steps: \d+/.test(line));
        const from = lines.findIndex((line) => line.startsWith("Negative prompt:"));
        const prompt = (from < 0 ? lines : lines.slice(0, from)).join("\n").trim();
        const negative = from < 0 ? "" : lines.slice(from).join("\n").replace("Negative prompt:", "").trim();
        return { prompt, negative };
    }

    // What is there, and what is added behind it; once.
    function joined(before, added) {
        const kept = before.replace(/[\s,]+$/, "");
        if (!added || kept.includes(added)) return before;
        return kept ? `${kept}, ${added}` : added;
    }

    function add(field, text) {
        if (!field || !text) return;
        field.value = joined(field.value, text);
        updateInput(field);
    }

    function send(page, target) {
        const { prompt, negative } = parts(textarea(`modiste_${page}_text`)?.value ?? "");
        if (!prompt) return;
        add(textarea(`${target}_prompt`), prompt);
        add(textarea(`${target}_neg_prompt`), negative);
        TARGETS[target]();
    }

    // What A1111 and Forge call after a button has sent a picture to the tab.
    window.switch_to_modiste = () => {
        const tabs = [...gradioApp().querySelectorAll("#tabs > .tab-nav > button")];
        tabs.find((tab) => tab.innerText.trim() === "Modiste")?.click();
    };

    // gradio may not listen yet when the page is there: the button is pressed until an answer takes the place of the
    // status that the page was built with.
    function follow(tries) {
        if (!tries || !gradioApp().querySelector('#modiste_run_status [data-modiste="built"]')) return;
        element("modiste_run_show")?.click();
        setTimeout(() => follow(tries - 1), BETWEEN_MS);
    }

    onUiLoaded(() => {
        for (const button of gradioApp().querySelectorAll("[id^=modiste_]")) {
            const [, page, target] = button.id.match(SENDS) ?? [];
            if (page) button.addEventListener("click", () => send(page, target));
        }
        follow(TRIES);
    });
})();
