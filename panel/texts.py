"""The page's texts, in English and in Traditional Chinese."""

from __future__ import annotations

from .judge_texts import JUDGE_WORDS

LANGUAGES = ("en", "zh-TW")

WORDS: dict[str, tuple[str, str]] = {
    # pages
    "intro": (
        "**Modiste** finds the words that make this model draw a garment again, and shows on unseen seeds what they "
        "were worth.",
        "**Modiste** 找出能讓模型重新畫出這件衣服的提示詞，並以未見過的種子證明其效果。",
    ),
    "page_prompt": ("Prompt", "提示詞"),
    "page_training": ("Training", "訓練"),
    "page_both": ("Both routes", "兩條路線"),
    **JUDGE_WORDS,
    "page_setup": ("Set-up", "安裝"),
    # the prompt page
    "photos": ("Photos of garments", "服裝照片"),
    "folder": ("or a folder of photos", "或照片資料夾"),
    "preset": ("Models (preset)", "模型組合（preset）"),
    "drawer": ("Drawn by", "由誰繪圖"),
    "here": ("this WebUI", "這個 WebUI"),
    "own": ("Modiste's own model", "Modiste 自己的模型"),
    "strategies": ("Strategies (none: all)", "策略（不選＝全部）"),
    "budget": ("Pictures a photo", "每張照片的生成數"),
    "any_photo": (
        "Also photos without a garment that the model knows (a demonstration)",
        "也處理找不到衣物的照片（僅供示範）",
    ),
    "photo_shape": ("Pictures in the photo's shape", "圖片採用照片的長寬比"),
    "sent": ("or a picture that was sent here", "或從其他分頁傳來的圖片"),
    "to_modiste": ("Send to Modiste", "傳送到 Modiste"),
    "pin": ("Tags that must be in (read them first)", "一定要有的標籤（請先讀取標籤）"),
    "leave_out": ("Tags or groups to leave out", "要略過的標籤或類別"),
    "read_tags": ("Read the tags", "讀取標籤"),
    "start": ("Start", "開始"),
    "cancel": ("Cancel", "取消"),
    "run_panel": ("Run", "執行"),
    "watch": ("Show what runs", "顯示執行中的工作"),
    "go_on": ("Go on", "繼續"),
    "job_prompt": ("Prompt search", "搜尋提示詞"),
    "job_training": ("Training", "訓練"),
    "job_both": ("Both routes", "兩條路線"),
    "job_tags": ("Tags", "標籤"),
    "job_setup": ("Set-up", "安裝"),
    "warn_mini_here": (
        "For a trial only: with mini this WebUI draws at {side} × {side} pixels, and the small embedded encoder, "
        "trained on drawn garments, judges its pictures. For real photos choose sd15 or sdxl.",
        "僅供試用：選 mini 時，這個 WebUI 以 {side} × {side} 像素繪圖，並由以手繪衣服訓練的內建小型編碼器評分。"
        "真實照片請選 sd15 或 sdxl。",
    ),
    "warn_mini_own": (
        "For a trial only: mini draws at {side} × {side} pixels with the embedded model, judged by its small encoder.",
        "僅供試用：mini 以內建模型繪製 {side} × {side} 像素的圖片，並由其小型編碼器評分。",
    ),
    "warn_missing": (
        "Not on this machine: {models}. This downloads it: {command}",
        "這台電腦上沒有：{models}。以此指令下載：{command}",
    ),
    "fact_preset": ("{side} × {side} pixels, judged by {encoder}.", "{side} × {side} 像素，由 {encoder} 評分。"),
    "progress": ("Progress", "進度"),
    "pictures": ("Pictures", "圖片"),
    "tags": ("Tags", "標籤"),
    "results": ("Results", "結果"),
    "col_photo": ("photo", "照片"),
    "col_group": ("group", "類別"),
    "col_label": ("tag", "標籤"),
    "col_confidence": ("confidence %", "信心 %"),
    "col_strategy": ("strategy", "策略"),
    "col_similarity": ("similarity", "相似度"),
    "col_baseline": ("tagger alone", "僅標記器"),
    "col_improved": ("proven better", "證實較佳"),
    "best_of": ("Best prompt of", "最佳提示詞（照片）"),
    "best": ("Best prompt", "最佳提示詞"),
    "send": ("Replace txt2img by it, with its settings", "以此提示詞與設定取代 txt2img"),
    "to_txt2img": ("Add to txt2img", "加入 txt2img"),
    "to_img2img": ("Add to img2img", "加入 img2img"),
    "to_style": ("Save as style", "存成樣式"),
    "report": ("Report (one self-contained page)", "報告（單一網頁檔）"),
    # the training page
    "dataset": ("Photos of the brand", "品牌照片"),
    "loaded_here": ("Train on the checkpoint that is loaded here", "以目前載入的 checkpoint 訓練"),
    "trigger": ("Trigger word", "觸發詞"),
    "steps": ("Steps", "步數"),
    "rank": ("Rank", "Rank"),
    "lora_name": ("Name of the LoRA", "LoRA 名稱"),
    "lora_tag": ("For your prompt", "放進提示詞"),
    "mini_lora": (
        "It fits the embedded model alone: for this WebUI's checkpoints train with sd15 or sdxl.",
        "這個 LoRA 以內建的小模型訓練，對其他模型沒有作用：要用在這個 WebUI 的 checkpoint，請選 sd15 或 sdxl。",
    ),
    "loss": ("Loss", "損失曲線"),
    # the page of both routes
    "both_intro": (
        "Finds the best words, trains on what they leave unsaid, and compares both on photos that neither has seen.",
        "先找出最佳文字，再訓練文字說不出的部分，最後以兩者都沒見過的照片比較。",
    ),
    "with_class": (
        "Keep the look to its trigger (the model's own pictures join)",
        "讓樣貌只隨觸發詞出現（加入模型自己的圖片）",
    ),
    "verdict": ("Verdict", "判定"),
    "v_training": ("Training paid", "訓練值得"),
    "v_no difference": ("No difference", "沒有差異"),
    "v_words": ("The words do it", "文字就夠了"),
    "v_worse than words": ("Worse than the words", "不如文字"),
    "v_worse than base": ("Training harmed", "訓練有害"),
    "v_changes nothing": ("This file changes nothing", "此檔案毫無作用"),
    "verdict_line": (
        "{decision}: {gain:+.1f} points over the best words ({low:+.1f} to {high:+.1f})",
        "{decision}：比最佳文字 {gain:+.1f} 分（{low:+.1f} 至 {high:+.1f}）",
    ),
    "col_way": ("drawn by", "繪製方式"),
    "col_judge": ("second opinion", "第二意見"),
    "col_adherence": ("tags met %", "標籤符合 %"),
    "way_name": ("base, name only", "原模型，僅名稱"),
    "way_words": ("base, best words", "原模型，最佳文字"),
    "way_base": ("base, the tuned one's prompt", "原模型，訓練後的提示詞"),
    "way_tuned": ("tuned", "訓練後"),
    "way_tuned_words": ("tuned, no trigger", "訓練後，無觸發詞"),
    # the set-up page
    "setup_there": ("The environment is there: `{folder}`.", "環境已就緒：`{folder}`。"),
    "setup_missing": (
        "Modiste works in an environment of its own and changes nothing in this WebUI's. It is not there yet. Setting "
        "it up downloads torch and others: **about {size:g} GB on disk, {cuda:g} GB where torch brings CUDA**, "
        "into `{folder}` ({free:.0f} GB free there).",
        "Modiste 在自己的環境中執行，不會更動這個 WebUI 的環境。目前尚未安裝。安裝會下載 torch 與其他函式庫："
        "**磁碟約需 {size:g} GB；若 torch 附帶 CUDA 則約 {cuda:g} GB**，放在 `{folder}`（該處剩餘 {free:.0f} GB）。",
    ),
    "agree": ("Yes, download and set up", "是的，下載並安裝"),
    "set_up": ("Set up", "安裝"),
    "check": ("Check the environment", "檢查環境"),
    "answer": ("What it says", "輸出"),
    # the script Modiste score
    "score_on": ("Score every picture", "為每張圖片評分"),
    "reference": ("Reference photo of the garment", "服裝參考照片"),
    "score_preset": ("Encoder of the preset", "使用哪個 preset 的編碼器"),
    # the settings section
    "set_preset": ("Preset that the tab begins with", "分頁預設的模型組合（preset）"),
    "set_encoder": (
        "Encoder in place of the preset's (a folder or a hub id)",
        "取代 preset 的編碼器（資料夾或 hub id）",
    ),
    "set_runs": (
        "Folder of the runs, inside the WebUI's (empty: outputs/modiste)",
        "執行結果的資料夾，須在 WebUI 的資料夾內（留空：outputs/modiste）",
    ),
    "set_language": ("Language of the tab", "分頁語言"),
    "automatic": ("automatic", "自動"),
    # states
    "idle": ("Nothing runs.", "沒有執行中的工作。"),
    "starting": ("Starting …", "啟動中 …"),
    "stage_prompt": ("Drawing and comparing", "繪圖與比較"),
    "stage_train": ("Training", "訓練"),
    "stage_photos": ("Reading photos", "讀取照片"),
    "stage_latents": ("Encoding photos", "編碼照片"),
    "stage_captions": ("Encoding captions", "編碼圖說"),
    "stage_validation": ("Validating on held-out photos", "檢視保留照片"),
    "stage_sample": ("Drawing samples", "繪製樣圖"),
    "stage_drawing": ("Drawing samples", "繪製樣圖"),
    "stage_signs": ("Checking for overfitting", "檢查過度擬合"),
    "stage_class": ("Drawing the class", "繪製同類圖片"),
    "stage_compare": ("Comparing", "比較"),
    "stage_tag": ("Reading tags", "讀取標籤"),
    "stage_data": ("Preparing photos", "準備照片"),
    "left": ("about {minutes:.0f} min left", "約剩 {minutes:.0f} 分鐘"),
    "stopping": ("Stopping: what is done is kept …", "停止中：已完成的部分會保留 …"),
    "done": ("Done.", "完成。"),
    "left_out": ("Photos left out: {count} ({photos})", "略過的照片：{count}（{photos}）"),
    "take_any_photo": (" · <i>{box}</i> takes them all the same.", " · 勾選「{box}」則照樣處理。"),
    "stopped": ("Stopped, what is done is kept: Go on continues.", "已停止，完成的部分都保留著：按「繼續」即可接續。"),
    "failed": ("It failed (exit code {code}):", "失敗（結束代碼 {code}）："),
    # what is wrong with the form
    "busy": ("Something runs already: cancel it, or wait.", "已有工作在執行：請取消或等待。"),
    "no_environment": ("Set up the environment first, on the last page.", "請先在最後一頁安裝環境。"),
    "no_photos": ("Choose photos first.", "請先選擇照片。"),
    "no_folder": ("There is no such folder.", "找不到這個資料夾。"),
    "no_choice": ("Choose from the list.", "請從清單中選擇。"),
    "out_of_range": ("The number is out of range.", "數字超出範圍。"),
    "one_word": ("A trigger is one word.", "觸發詞須為一個詞。"),
    "no_agreement": ("Tick the box first: nothing is downloaded without it.", "請先勾選同意：未勾選不會下載任何東西。"),
    "no_text": ("There is no text yet.", "還沒有文字。"),
    "style_saved": (
        "Saved as the style “{name}”; 🔄 beside the styles shows it.",
        "已存成樣式「{name}」；按樣式旁的 🔄 即可看到。",
    ),
    "nothing_to_go_on": ("There is nothing to go on with.", "沒有可繼續的工作。"),
    "no_lora_folder": ("The WebUI's LoRA folder can't be made.", "無法建立 WebUI 的 LoRA 資料夾。"),
    "no_disk": ("The disk is too full for that.", "磁碟空間不足。"),
    "no_api": (
        "This WebUI was started without --api, so Modiste can't draw with it. Start it with --api, or let Modiste's "
        "own model draw.",
        "這個 WebUI 啟動時沒有加 --api，Modiste 無法用它繪圖。請加上 --api 重新啟動，或改用 Modiste 自己的模型。",
    ),
}


class Words:
    """The page's texts in one language."""

    def __init__(self, language: str):
        self.language = language if language in LANGUAGES else LANGUAGES[0]

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with its values."""
        return WORDS[key][LANGUAGES.index(self.language)].format(**values)


def language_of(*names: str | None) -> str:
    """`zh-TW` where the first name that is set means Traditional Chinese (`zh_TW`, `zh-Hant`, `…Traditional…`)."""
    name_ = next((name for name in names if name and name not in ("None", "C", "POSIX")), "")
    lowered = name_.lower().replace("_", "-")
    chinese = lowered.startswith("zh") or "chinese" in lowered or "中文" in name_
    traditional = any(word in lowered for word in ("tw", "hk", "hant", "traditional", "繁"))
    return "zh-TW" if chinese and traditional else "en"
