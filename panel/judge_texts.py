"""The texts of the page Which file?, in English and in Traditional Chinese; texts.py takes them up."""

from __future__ import annotations

JUDGE_WORDS: dict[str, tuple[str, str]] = {
    "page_judge": ("Which file?", "哪個檔案？"),
    "job_judge": ("Which file?", "哪個檔案？"),
    "stage_judge": ("Drawing and judging", "繪圖與評判"),
    "judge_intro": (
        "Says which of several LoRA files to keep, at which strength, proven on your photos; or which step, by the "
        "sample pictures that a training left.",
        "以你的照片證實該留下哪一個 LoRA 檔案與強度；也能依訓練留下的範例圖判斷該用哪一步。",
    ),
    "judge_photos": ("Photos of garments that the training has not seen", "訓練未見過的服裝照片"),
    "judge_loras": ("LoRA files of this WebUI", "這個 WebUI 的 LoRA 檔案"),
    "judge_folder": (
        "or a folder: of LoRA files, or of a training's sample pictures",
        "或資料夾：LoRA 檔案，或訓練留下的範例圖",
    ),
    "judge_strengths": ("Strengths to try, comma-separated", "要試的強度，以逗號分隔"),
    "judge_candidates": ("Candidates", "候選"),
    "judge_to_prompt": ("For your prompt", "放進提示詞"),
    "col_candidate": ("candidate", "候選"),
    "col_pictures": ("pictures", "圖數"),
    "col_behind": ("behind the best", "與最佳的差距"),
    "col_standing": ("standing", "狀態"),
    "standing_best": ("best", "最佳"),
    "standing_finalist": ("finalist", "決選"),
    "standing_stopped": ("stopped drawing", "停止繪圖"),
    "standing_eliminated": ("proven worse", "證實較差"),
    "standing_judged": ("judged", "已評判"),
    "standing_changes nothing": ("changes nothing", "毫無作用"),
    "judged_keep": ("Keep {label}", "留下 {label}"),
    "judged_no gain": ("No gain is proven; {label} came out best", "沒有證實的進步；{label} 表現最好"),
    "judged_worse than base": (
        "Even the best of them, {label}, is worse than the base model",
        "就連其中最好的 {label} 也不如基礎模型",
    ),
    "judged_changes nothing": ("The files change nothing", "檔案毫無作用"),
    "judged_no difference": ("No difference; {label} came out best", "沒有差異；{label} 表現最好"),
    "judged_first sight": ("{label} looks best", "{label} 看來最好"),
    "judged_over": (
        "{points:+.1f} points over {other} ({low:+.1f} to {high:+.1f})",
        "比 {other} {points:+.1f} 分（{low:+.1f} 至 {high:+.1f}）",
    ),
    "judged_base": ("the base model", "基礎模型"),
    "no_loras": ("Choose LoRA files, or a folder of them.", "請選擇 LoRA 檔案，或其資料夾。"),
    "no_strengths": (
        "Strengths are numbers above 0 and up to 4, such as 0.6,0.8,1.",
        "強度須大於 0、不超過 4，例如 0.6,0.8,1。",
    ),
}
