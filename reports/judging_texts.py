"""The words of a judgement in English and Traditional Chinese (Taiwan), as data, and its verdict in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .charts import points, signed_interval
from .comparison_texts import words as common_words
from .prompt_texts import LANGUAGES

if TYPE_CHECKING:
    from typing import Any

    from .judging import JudgedGain, JudgeReport

# key → (English, Traditional Chinese); {names} are filled in and are the same in both.
JUDGING: dict[str, tuple[str, str]] = {
    "j_title": ("Which file to keep?", "該留下哪一個檔案？"),
    "j_subtitle_files": (
        "Every file draws the same prompts on the same seeds; the best is proven on others.",
        "每個檔案以相同的提示詞與種子繪圖，最佳者再以其他種子驗證。",
    ),
    "j_subtitle_samples": (
        "The sample pictures that a training left, compared with the collection’s photos. Nothing was drawn.",
        "訓練過程留下的範例圖，與系列照片比較；沒有另外繪圖。",
    ),
    "j_photos": ("{n} photos", "{n} 張照片"),
    "j_candidates": ("{n} candidates", "{n} 個候選"),
    "j_pictures": (
        "{n} pictures to choose (a full grid takes {full}), {proof} to prove",
        "選擇用 {n} 張圖（完整比較表需 {full} 張），驗證用 {proof} 張",
    ),
    "j_read": ("{n} pictures read", "讀取 {n} 張圖"),
    "jd_keep": ("Keep {label}", "留下 {label}"),
    "jd_no gain": ("No gain is proven", "沒有證實的進步"),
    "jd_worse than base": ("Worse than the base model", "不如基礎模型"),
    "jd_changes nothing": ("The files change nothing", "檔案毫無作用"),
    "jd_no difference": ("No difference", "沒有差異"),
    "jd_first sight": ("{label} looks best", "{label} 看來最好"),
    "js_keep_files": (
        "{label} draws the collection best: {base} points over the base model.",
        "{label} 最能畫出這個系列：比基礎模型高 {base} 分。",
    ),
    "js_no gain": (
        "{label} came out best, and is not proven better than the base model: {base} points.",
        "{label} 表現最好，但未能證實優於基礎模型：{base} 分。",
    ),
    "js_worse than base": (
        "Even the best of them, {label}, is further from the collection than the base model: {base} points.",
        "就連其中最好的 {label} 也比基礎模型離這個系列更遠：{base} 分。",
    ),
    "js_changes nothing": (
        "{label} draws the same pictures as the base model, pixel by pixel. Its keys may not be this model’s.",
        "{label} 與基礎模型畫出完全相同的圖，每個像素都一樣。其參數名稱可能不屬於這個模型。",
    ),
    "js_keep_samples": (
        "{label} is nearest to the collection: {gain} points over {other}.",
        "{label} 最接近這個系列：比 {other} 高 {gain} 分。",
    ),
    "js_no difference": (
        "{label} came out best, and the pictures do not tell it from {other}: {gain} points.",
        "{label} 表現最好，但圖片無法將它與 {other} 分出高下：{gain} 分。",
    ),
    "js_first sight": (
        "{label} came out best, but no two steps share a prompt and a seed: nothing could be paired.",
        "{label} 表現最好，但沒有任何兩個步數有相同的提示詞與種子：無法成對比較。",
    ),
    "js_over_next": ("Over the next, {label}: {gain}.", "比第二名 {label}：{gain}。"),
    "js_over_last": ("Over the last, {label}: {gain}.", "比最後一個 {label}：{gain}。"),
    "js_judge": ("The second opinion says {gain}.", "第二意見為 {gain}。"),
    "js_no_judge": ("There is no second opinion on this machine.", "這台機器上沒有第二意見。"),
    "js_flatters": (
        "The same pictures chose it and measure it, so that its figure flatters it.",
        "選出它的圖也用來衡量它，因此分數偏高。",
    ),
    "ja_train on": (
        "Train on: the last file is the best and still gains over the one before.",
        "繼續訓練：最後一個檔案最好，且仍比前一個進步。",
    ),
    "ja_stop here": ("Stop there: what was trained longer is worse.", "到此為止：訓練更久反而更差。"),
    "ja_any of the last": (
        "Training longer changed nothing that these pictures can show: take {label}, or the last.",
        "訓練更久並無這些圖看得出的差別：用 {label} 或最後一個皆可。",
    ),
    "ja_no difference": (
        "These pictures show no difference between {label} and the next best, {other}: take either.",
        "這些圖看不出 {label} 與第二名 {other} 有差別：用哪一個皆可。",
    ),
    "ja_too little data": (
        "More photos of more garments would tell more: these intervals are wide.",
        "需要更多衣服的照片才能看得更清楚：目前的區間很寬。",
    ),
    "ja_prove": (
        "Judging the files themselves proves it on fresh seeds, against the base model: modiste judge FILES.",
        "直接評判檔案（modiste judge 檔案），可在全新種子上與基礎模型比較並驗證。",
    ),
    "ja_unpaired": (
        "{n} pictures could not be paired: their names say no step, or neither prompt nor seed. A samples.csv can.",
        "{n} 張圖無法成對：檔名未說明步數，或沒有提示詞與種子。可用 samples.csv 說明。",
    ),
    "js_trained_on": (
        "{n} of the photos were trained on: nothing was drawn for them, and copies were looked for among them.",
        "其中 {n} 張照片用於訓練：未為其繪圖，並用來檢查是否有複製。",
    ),
    "j_curve": ("Similarity over the training, of 100", "訓練過程的相似度，滿分 100"),
    "j_score": ("Score", "評分"),
    "j_judge": ("Second opinion", "第二意見"),
    "j_table": ("The candidates", "所有候選"),
    "j_grid": ("What they draw", "各自的圖"),
    "j_photo": ("Photo", "照片"),
    "j_cost": ("What it costs", "代價"),
    "j_adherence": (
        "Without the trigger {best} % of a photo’s tags are drawn, by the base model {base} % ({change}).",
        "不加觸發詞時，畫出照片標籤的 {best} %；基礎模型為 {base} %（{change}）。",
    ),
    "j_diversity": (
        "Two pictures of one prompt differ by {best} points, the base model’s by {base}.",
        "同一提示詞的兩張圖相差 {best} 分，基礎模型為 {base} 分。",
    ),
    "j_copies": (
        "{share} % of its pictures are as like a photo as a second photo of the same garment: look for copies.",
        "{share} % 的圖與某張照片相似到如同同一件衣服的第二張照片：請留意是否為複製。",
    ),
    "js_set_aside": (
        "These change nothing, and were not drawn further: {labels}.",
        "以下檔案毫無作用，未再繪圖：{labels}。",
    ),
    "j_traits": ("What they show of the photos", "畫出照片的哪些部分"),
    "j_traits_note": (
        "Share of pictures that show the photo’s own tags, group by group; how far the colours are from the photo’s "
        "(ΔE2000, less is nearer); below, the change over the base model with its interval over garments, each by "
        "itself, bold where it leaves 0 out. Best, next and last by the seeds of the proof.",
        "各組標籤中，圖片畫出照片標籤的比例；顏色與照片的距離（ΔE2000，越小越接近）；"
        "下方為相對基礎模型的變化與其區間（以衣服計，各自獨立），不含 0 者以粗體標示。"
        "最佳、第二名與最後一個使用驗證的種子。",
    ),
    "j_base_model": ("the base model", "基礎模型"),
    "j_colour": ("colours, ΔE", "顏色 ΔE"),
    "j_right_garment": ("right garment first", "首位即同款"),
    "j_catalogue_scorer": (
        "Among {photos} photos of {garments} garments, {best} % of the best one’s pictures are nearest to their own "
        "garment, of the base model’s {base} % ({change}; by chance {chance} %).",
        "在 {garments} 件衣服的 {photos} 張照片中，最佳者有 {best} % 的圖與自己的衣服最近，"
        "基礎模型為 {base} %（{change}；隨機為 {chance} %）。",
    ),
    "j_catalogue_judge": (
        "By the second opinion {best} % and {base} % ({change}).",
        "第二意見為 {best} % 與 {base} %（{change}）。",
    ),
    "j_standing_changes nothing": ("changes nothing", "毫無作用"),
    "j_standing_best": ("best", "最佳"),
    "j_standing_finalist": ("finalist", "決選"),
    "j_standing_stopped": ("stopped drawing", "停止繪圖"),
    "j_standing_eliminated": ("proven worse", "證實較差"),
    "j_standing_judged": ("", ""),
    "j_col_candidate": ("candidate", "候選"),
    "j_col_pictures": ("pictures", "圖數"),
    "j_col_similarity": ("similarity", "相似度"),
    "j_col_judge": ("second opinion", "第二意見"),
    "j_col_behind": ("behind the best", "與最佳的差距"),
    "j_col_standing": ("standing", "狀態"),
    "j_sort": (
        "Click a heading to sort. The intervals behind the best are as wide as it takes for all to hold at once.",
        "點選欄名即可排序。與最佳的差距所附的區間已放寬，使所有區間同時成立。",
    ),
    "j_copy": ("Copy the file’s path", "複製檔案路徑"),
    "j_gains": ("What the best one gains", "最佳者的進步"),
    "j_over_base": ("over the base model", "對基礎模型"),
    "j_over_next": ("over the next, {label}", "對第二名 {label}"),
    "j_over_last": ("over the last, {label}", "對最後一個 {label}"),
    "j_corrected": (
        "On seeds that chose nothing; “proven” counts that {n} comparisons were made (Holm).",
        "使用未參與選擇的種子；「證實」已計入共做了 {n} 次比較（Holm）。",
    ),
}


def words(key: str, language: str) -> str:
    """The sentence of that key, of the judgement's or of the reports' common ones; `KeyError` where there is none."""
    return JUDGING[key][list(LANGUAGES).index(language)] if key in JUDGING else common_words(key, language)


def in_words(report: JudgeReport) -> JudgeReport:
    """The same with the English sentences in its verdict."""
    update = {
        "sentence": " ".join(verdict_lines(report, "en")),
        "next_steps": next_lines(report, "en"),
    }
    return report.model_copy(update={"verdict": report.verdict.model_copy(update=update)})


def headline(report: JudgeReport, language: str) -> str:
    """The verdict in a few words."""
    return words(f"jd_{report.verdict.decision}", language).format(label=report.verdict.label)


def verdict_lines(report: JudgeReport, language: str) -> list[str]:
    """The verdict, the most important first."""
    verdict, gains = report.verdict, {gain.over: gain for gain in report.gains}
    shown = gains.get("base") or gains.get("last") or gains.get("next")
    values: dict[str, Any] = {"label": verdict.label}
    if "base" in gains:
        values["base"] = _interval(gains["base"])
    if shown:
        values |= {"gain": _interval(shown), "other": shown.label}
    key = f"js_{verdict.decision}" + (f"_{report.kind}" if verdict.decision == "keep" else "")
    lines = [words(key, language).format(**values)]
    if shown and shown.judge and verdict.decision != "changes nothing":
        lines.append(words("js_judge", language).format(gain=_signed(shown.judge)))
    if report.scorer_judge is None:
        lines.append(words("js_no_judge", language))
    if verdict.decision == "changes nothing":
        return lines
    if aside := [row.label for row in report.rows if row.standing == "changes nothing"]:
        lines.append(words("js_set_aside", language).format(labels=", ".join(aside)))
    if report.trained_on:
        lines.append(words("js_trained_on", language).format(n=report.trained_on))
    for over in ("next", "last"):
        if over in gains and gains[over] is not shown:
            gain = gains[over]
            lines.append(words(f"js_over_{over}", language).format(label=gain.label, gain=_interval(gain)))
    return lines + ([words("js_flatters", language)] if report.kind == "samples" else [])


def catalogue_lines(report: JudgeReport, language: str) -> list[str]:
    """What retrieval in the catalogue says; none without one."""
    catalogue = report.catalogue
    if catalogue is None:
        return []
    return [
        words(f"j_catalogue_{gain.by}", language).format(
            photos=catalogue.photos,
            garments=catalogue.garments,
            best=points(gain.best),
            base=points(gain.base),
            change=_signed(gain.change) if gain.change else "—",
            chance=points(catalogue.chance),
        )
        for gain in catalogue.retrieval
    ]


def cost_lines(report: JudgeReport, language: str) -> list[str]:
    """What the best one costs; none where it was not drawn for that."""
    cost, lines = report.cost, []
    if cost.adherence is not None and cost.base_adherence is not None and cost.adherence_change is not None:
        change = signed_interval(cost.adherence_change)["gain"]
        shares = {"best": points(cost.adherence), "base": points(cost.base_adherence)}
        lines.append(words("j_adherence", language).format(**shares, change=change))
    if cost.diversity is not None and cost.base_diversity is not None:
        apart = {"best": points(cost.diversity), "base": points(cost.base_diversity)}
        lines.append(words("j_diversity", language).format(**apart))
    if cost.copies:
        lines.append(words("j_copies", language).format(share=points(cost.copies)))
    return lines


def next_lines(report: JudgeReport, language: str) -> list[str]:
    """What to do next."""
    other = next((gain.label for gain in report.gains if gain.over == "next"), "")
    lines = [
        words(f"ja_{advice}", language).format(label=report.verdict.label, other=other)
        for advice in report.verdict.advice
    ]
    if report.kind == "samples":
        lines.append(words("ja_prove", language))
    if report.unpaired:
        lines.append(words("ja_unpaired", language).format(n=report.unpaired))
    return lines


def _interval(gain: JudgedGain) -> str:
    return _signed(gain.interval)


def _signed(interval: Any) -> str:
    parts = signed_interval(interval)
    return f"{parts['gain']} ({parts['low']} … {parts['high']})"
