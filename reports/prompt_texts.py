"""The words of the report in English and Traditional Chinese (Taiwan), as data."""

from __future__ import annotations

LANGUAGES = {"en": "English", "zh-TW": "繁體中文"}

# key → (English, Traditional Chinese); {names} are filled in by the page and are the same in both.
TEXT: dict[str, tuple[str, str]] = {
    "title": ("What the words can draw", "文字能畫出什麼"),
    "subtitle": (
        "A photo goes in; the prompt that draws its garment again comes out.",
        "放進一張照片，得到能把這件衣服重新畫出來的提示詞。",
    ),
    "photos": ("{n} photos", "{n} 張照片"),
    "photo_one": ("1 photo", "1 張照片"),
    "pictures_drawn": ("{n} pictures drawn", "共繪製 {n} 張圖"),
    "took": ("{time}, {each} a photo", "耗時 {time}，每張照片 {each}"),
    "minutes": ("{m} min {s} s", "{m} 分 {s} 秒"),
    "seconds": ("{s} s", "{s} 秒"),
    # summary
    "summary": ("In short", "摘要"),
    "name_only": ("Name only", "僅名稱"),
    "all_tags": ("All tags", "全部標籤"),
    "best": ("Best prompt", "最佳提示詞"),
    "name_only_is": (
        "what the garment is called, with the view words that all share",
        "只有衣服的名稱，加上各寫法共用的光線背景詞",
    ),
    "all_tags_is": (
        "every word a tagger finds, in a row, with the same view words",
        "標記器找到的所有詞，依序排列，加上相同的光線背景詞",
    ),
    "your_words": ("Your words", "您的文字"),
    "your_words_is": (
        "what you wrote for the photo, with the same view words",
        "您為照片所寫的文字，加上相同的光線背景詞",
    ),
    "best_is": ("what the search found and fresh seeds confirmed", "搜尋所得，並以全新種子驗證"),
    "of_100": ("similarity, of 100", "相似度，滿分 100"),
    "lead_many": (
        "On seeds that the search never saw, the best prompts reach <b>{best}</b> of 100 on average.",
        "在搜尋從未用過的種子上，最佳提示詞平均達到 <b>{best}</b> 分（滿分 100）。",
    ),
    "lead_one": (
        "On seeds that the search never saw, the best prompt reaches <b>{best}</b> of 100.",
        "在搜尋從未用過的種子上，最佳提示詞達到 <b>{best}</b> 分（滿分 100）。",
    ),
    "over_name_one": (
        "In the one pair of pictures, the search’s choice is {gain} points over the name alone: no interval.",
        "與只寫衣服名稱相比，搜尋選出的提示詞為 {gain} 分（僅有一對圖片，沒有區間）。",
    ),
    "over_tags_one": (
        "In the one pair of pictures, the search’s choice is {gain} points over a plain list: no interval.",
        "與標記器的單純詞列相比，搜尋選出的提示詞為 {gain} 分（僅有一對圖片，沒有區間）。",
    ),
    "over_words_one": (
        "In the one pair of pictures, the search’s choice is {gain} points over your own words: no interval.",
        "與您自己的文字相比，搜尋選出的提示詞為 {gain} 分（僅有一對圖片，沒有區間）。",
    ),
    "over_name_up": (
        "What the searches chose is <b>{gain}</b> points over the garment’s name alone ({low} to {high}).",
        "搜尋選出的提示詞比只寫衣服名稱高出 <b>{gain}</b> 分（{low} 至 {high}）。",
    ),
    "over_name_even": (
        "Against the garment’s name alone what the searches chose is {gain} points ({low} to {high}): not told apart "
        "yet.",
        "搜尋選出的提示詞與只寫衣服名稱相比為 {gain} 分（{low} 至 {high}）：尚無法分出高下。",
    ),
    "over_name_down": (
        "Against the garment’s name alone what the searches chose is <b>{gain}</b> ({low} to {high}): the name does "
        "better.",
        "搜尋選出的提示詞與只寫衣服名稱相比為 <b>{gain}</b> 分（{low} 至 {high}）：只寫名稱反而更好。",
    ),
    "over_tags_up": (
        "Against a tagger’s plain list of words it gains <b>{gain}</b> ({low} to {high}).",
        "與標記器的單純詞列相比，提高 <b>{gain}</b> 分（{low} 至 {high}）。",
    ),
    "over_tags_even": (
        "Against a tagger’s plain list of words it is {gain} ({low} to {high}): too close to call.",
        "與標記器的單純詞列相比為 {gain} 分（{low} 至 {high}）：差距太小，難分高下。",
    ),
    "over_tags_down": (
        "Against a tagger’s plain list of words it is <b>{gain}</b> ({low} to {high}): the list does better.",
        "與標記器的單純詞列相比為 <b>{gain}</b> 分（{low} 至 {high}）：單純詞列反而更好。",
    ),
    "judge_over_tags": (
        "A model that knows only looks and chose nothing says {gain} ({low} to {high}) for the same pictures.",
        "只看外觀、未參與任何選擇的模型，對相同圖片的判斷為 {gain} 分（{low} 至 {high}）。",
    ),
    "judge_none": (
        "There was no second opinion on this machine: read the figures with care.",
        "這台機器上沒有第二意見：請謹慎解讀數字。",
    ),
    "over_words_up": (
        "Over your own words it is <b>{gain}</b> points ({low} to {high}).",
        "比您自己的文字高出 <b>{gain}</b> 分（{low} 至 {high}）。",
    ),
    "over_words_even": (
        "Against your own words it is {gain} points ({low} to {high}): too close to call.",
        "與您自己的文字相比為 {gain} 分（{low} 至 {high}）：差距太小，難分高下。",
    ),
    "over_words_down": (
        "Against your own words it is <b>{gain}</b> points ({low} to {high}): yours do better.",
        "與您自己的文字相比為 <b>{gain}</b> 分（{low} 至 {high}）：您的文字更好。",
    ),
    "judge_short": (
        "The second opinion says {gain} ({low} to {high}).",
        "第二意見的判斷為 {gain} 分（{low} 至 {high}）。",
    ),
    "words_photos": (
        "Words of yours came with {n} of the {photos} photos.",
        "{photos} 張照片中有 {n} 張附有您的文字。",
    ),
    "improved_count": (
        "Proven for {proven} of {n} photos, all of them together; by its own interval alone for {improved}.",
        "{n} 張照片合併檢定，有 {proven} 張證實優於單純詞列；僅看各自的區間則有 {improved} 張。",
    ),
    "every_candidate": (
        "The gains count every photo with the prompt that its search chose, adopted or not; the scores above are of "
        "what is recommended. Over the plain list scores are compared before they are cut to 0 … 100.",
        "提升分數計入每張照片由搜尋選出的提示詞，不論最後是否採用；上方分數則為最後推薦者。"
        "與單純詞列比較時，使用截至 0 … 100 之前的分數。",
    ),
    "interval_note": (
        "Brackets hold {confidence} % intervals of the paired difference.",
        "括號內為成對差異的 {confidence} % 區間。",
    ),
    "gain_chart": ("Gain in points, with interval", "提升分數與區間"),
    "best_over_name": ("Best over name only", "最佳 對 僅名稱"),
    "best_over_tags": ("Best over all tags", "最佳 對 全部標籤"),
    "best_over_tags_judge": ("The same, second opinion", "同上，第二意見"),
    "best_over_words": ("Best over your words", "最佳 對 您的文字"),
    "best_over_words_judge": ("The same, second opinion", "同上，第二意見"),
    "format": (
        "The form that won most often: <b>{strategy}</b> ({wins} of {photos} photos).",
        "最常勝出的寫法：<b>{strategy}</b>（{photos} 張照片中的 {wins} 張）。",
    ),
    "index": ("The photos", "照片一覽"),
    # one photo
    "photo": ("Photo", "照片"),
    "improved": ("Improved", "已改善"),
    "proven": ("Proven", "已證實"),
    "not_improved": ("No improvement found", "未發現改善"),
    "verdict_up": (
        "“{strategy}” gains {gain} points over the plain list of tags ({low} to {high}).",
        "「{strategy}」比單純標籤列提高 {gain} 分（{low} 至 {high}）。",
    ),
    "verdict_even": (
        "No prompt is proven better than the plain list of tags: “{strategy}” came to {gain} ({low} to {high}).",
        "沒有提示詞經證實優於單純標籤列：「{strategy}」的差異為 {gain} 分（{low} 至 {high}）。",
    ),
    "verdict_same": (
        "The plain list of tags itself won the search.",
        "搜尋的勝出者就是單純標籤列本身。",
    ),
    "verdict_words": (
        "No improvement found: your own words do better than “{strategy}”, which the search chose.",
        "未發現改善：您自己的文字優於搜尋選出的「{strategy}」。",
    ),
    "words_score": (
        "Drawn on the same seeds they reach {score} of 100.",
        "以相同種子繪製，得 {score} 分（滿分 100）。",
    ),
    "caption": ("What the captioner says", "圖說模型的描述"),
    "same_seed": (
        "All drawn from seed {seed}, which the search never saw.",
        "皆以種子 {seed} 繪製，搜尋時從未用過此種子。",
    ),
    "score_chart": ("Similarity, 0 to 100", "相似度，0 至 100"),
    "gauge_key": (
        "○ name only · | all tags · ● best prompt; the band is where the best may truly lie",
        "○ 僅名稱 · | 全部標籤 · ● 最佳提示詞；色帶為最佳提示詞真值可能所在的範圍",
    ),
    "prompt": ("The prompt", "提示詞"),
    "negative_prompt": ("Negative prompt", "負面提示詞"),
    "to_copy": ("Click to select all of it, then copy.", "點一下即可全選，再複製。"),
    "empty": ("(empty)", "（空白）"),
    "tags": ("What the photo shows", "照片中看到的"),
    "not_visible": ("Not visible: {groups}", "看不到：{groups}"),
    "worth": ("What each word brings", "每個詞的作用"),
    "worth_note": (
        "In points of similarity when it stands in the prompt, from pictures that test all words at once; few "
        "pictures, so the intervals are wide.",
        "放進提示詞時的相似度分數變化，由同時測試所有詞的圖片算出；圖片不多，因此區間較寬。",
    ),
    "tried": ("What was tried", "嘗試過的寫法"),
    "tried_note": (
        "Scores on the search seeds. They flatter the winner; that is why it was drawn again on fresh ones.",
        "此為搜尋種子上的分數，會偏袒勝出者，因此另以全新種子重新繪製驗證。",
    ),
    "search_steps": (
        "They were drawn with {few} steps, those that prove with {all}: these scores compare only with one another.",
        "這些圖以 {few} 步繪製，用來驗證的以 {all} 步繪製：這裡的分數只能彼此比較。",
    ),
    "tried_chart": ("Mean similarity by strategy", "各寫法的平均相似度"),
    "tried_pictures": ("{n}×", "{n} 張"),
    "tried_prompts": ("Every prompt that was tried", "所有嘗試過的提示詞"),
    "all_pictures": ("All {n} confirmation seeds", "全部 {n} 個驗證種子"),
    "seed": ("Seed", "種子"),
    "judge": ("Second opinion", "第二意見"),
    "judge_says": (
        "A model that knows only looks, never asked by the search, gives {score} (all tags: {baseline}).",
        "另一個只看外觀、搜尋時從未徵詢的模型給 {score} 分（全部標籤：{baseline} 分）。",
    ),
    "judge_alone": (
        "A model that knows only looks, never asked by the search, gives {score}.",
        "另一個只看外觀、搜尋時從未徵詢的模型給 {score} 分。",
    ),
    "judge_gain": (
        "Over the plain list that is {gain} ({low} to {high}), as it sees the candidate’s pictures.",
        "就候選提示詞的圖片而言，比單純標籤列為 {gain} 分（{low} 至 {high}）。",
    ),
    "hacking": (
        "Careful: the score rose, but the model that knows only looks sees no gain ({gain}). The search may have "
        "pleased its own measure; trust your eyes.",
        "請留意：分數上升，但只看外觀的模型看不出進步（{gain}）。搜尋可能只討好了自己的量尺；請相信您的眼睛。",
    ),
    "again": ("Tagged again", "重新標記"),
    "again_note": (
        "In how many of the best prompt’s pictures a tagger finds what it found in the photo.",
        "最佳提示詞的圖片中，有多少張被標記出與照片相同的內容。",
    ),
    "palette": (
        "Colours lie {delta} ΔE apart; 2 is hardly seen, 10 is another colour.",
        "色彩相差 {delta} ΔE；2 幾乎看不出，10 已是另一種顏色。",
    ),
    "colour_change": (
        "Of the candidate’s colours that is {change} against the plain list’s ({low} to {high}); below 0 is nearer.",
        "候選提示詞的色差與單純詞列相比為 {change}（{low} 至 {high}）；小於 0 表示更接近。",
    ),
    "over_tags_colour": (
        "The garments’ colours change by {change} ΔE ({low} to {high}) against the plain list; below 0 is nearer.",
        "與單純詞列相比，衣服的色差變化為 {change} ΔE（{low} 至 {high}）；小於 0 表示更接近照片。",
    ),
    "missed_first": (
        "Words missed by the first pictures: {words}. The strategies “missed …” say them another way.",
        "最初的圖未畫出：{words}。名稱含「missed」的寫法會換方式再說一次。",
    ),
    "shown_uninvited": (
        "The first pictures showed without being asked: {words}. “uninvited avoided” puts it into the negative prompt.",
        "最初的圖多畫了：{words}。名稱含「uninvited avoided」的寫法把它放進負面提示詞。",
    ),
    "beyond_groups": (
        "The words say it, the model does not draw it: {groups}. Training on such photos may teach it.",
        "文字已說明，模型卻畫不出：{groups}。以此類照片訓練或許能教會它。",
    ),
    "beyond_look": (
        "Every tag is met and {missing} points are still missing: a look that the vocabulary has no word for. "
        "Training on such photos may reach it.",
        "標籤全數符合，仍差 {missing} 分：詞彙表沒有詞能形容的樣貌。以此類照片訓練或許能達到。",
    ),
    "raw_cosine": ("Raw cosine {value}", "原始餘弦值 {value}"),
    "generations": ("{n} pictures drawn for this photo", "為這張照片繪製了 {n} 張圖"),
    "duplicates": ("The same picture as {files}", "與 {files} 為同一張圖"),
    "notes": ("On reading: {notes}", "讀取時：{notes}"),
    "picture_missing": ("picture missing", "找不到圖片"),
    "to_top": ("To the top", "回到頂端"),
    # the last chapters
    "how_to_read": ("How to read the score", "如何解讀分數"),
    "how_score": (
        "0 is a random garment of the same category, 100 a second photo of the very same garment. The scale "
        "comes from real pairs, because the raw cosine of two different garments of one category is already "
        "{raw_zero}: as a percentage it would flatter everybody.",
        "0 分相當於同類別中隨機的另一件衣服，100 分相當於同一件衣服的另一張照片。刻度取自真實配對，"
        "因為同類別中兩件不同的衣服，原始餘弦值就已有 {raw_zero}，直接當成百分比會人人高分。",
    ),
    "how_seeds": (
        "Each photo has two sets of seeds of its own. The search chooses on the first; the figures here are of the "
        "second, which it never saw, and the plain list is drawn on the same ones. A later run of the same photo gets "
        "fresh ones. So luck can’t pass for skill.",
        "每張照片各有兩組種子。搜尋以第一組做選擇；這裡的數字來自搜尋從未見過的第二組，單純詞列也以同一組種子繪製。"
        "之後再跑同一張照片會換新的種子，因此運氣不會被當成本事。",
    ),
    "how_interval": (
        "An interval says how far the difference could be from what was measured. “Improved” asks that all of it lies "
        "above zero and that the second opinion proves no loss. Of many photos some pass by luck; “proven” counts "
        "that all of them were asked (Holm), so that at most one run in twenty says it of a photo wrongly.",
        "區間表示真實差異與量測值可能相距多遠。整個區間都在零以上，且第二意見未證實退步時，才說「已改善」。"
        "照片一多，總會有幾張靠運氣通過；「已證實」則考慮到每張照片都經過檢定（Holm），二十次執行中至多一次誤判。",
    ),
    "calibration": ("Calibration", "校準"),
    "anchors": (
        "0 is a centred cosine of {zero} (raw {raw_zero}), 100 is {hundred} (raw {raw_hundred}): medians "
        "over {pairs} pairs.",
        "0 分為中心化餘弦值 {zero}（原始 {raw_zero}），100 分為 {hundred}（原始 {raw_hundred}）："
        "取自 {pairs} 組配對的中位數。",
    ),
    "kind_bundled": ("anchors that came with the preset", "預設組合附帶的刻度"),
    "kind_catalogue": ("anchors measured on your own catalogue", "以你的型錄量測的刻度"),
    "kind_generic": (
        "generic anchors: good for comparing, not for absolute claims",
        "通用刻度：適合互相比較，不適合當作絕對數值",
    ),
    "encoder": ("Encoder", "編碼器"),
    "scorer": ("Score", "評分"),
    "settings": ("Settings", "設定"),
    "search_seeds": ("Search seeds", "搜尋種子"),
    "confirm_seeds": ("Confirmation seeds", "驗證種子"),
    "preset": ("Preset", "預設組合"),
    "host": ("Drawn by", "繪圖主機"),
    "made_with": ("Modiste {version}, {created}", "Modiste {version}，{created}"),
    "samples": (
        "{n} pictures were good enough to train on; report.json lists them.",
        "有 {n} 張圖好到可作為訓練素材，列於 report.json。",
    ),
    "skipped": ("Skipped", "略過的檔案"),
    "skipped_none": ("Every file could be used.", "所有檔案皆可使用。"),
    "no_photos": ("No photo could be used.", "沒有可用的照片。"),
}

# Codes of photos that could not be used (fashion/photos.py).
SKIP_CODES: dict[str, tuple[str, str]] = {
    "EMPTY": ("the file is empty", "檔案是空的"),
    "NOT_IMAGE": ("not a picture, whatever its name says", "不論檔名為何，這不是圖片"),
    "TRUNCATED": ("the file ends too early", "檔案不完整"),
    "CORRUPT": ("the content is damaged", "內容已損壞"),
    "BOMB": ("far too many pixels", "像素過多"),
    "MODE": ("a kind of pixels that can’t be read", "無法讀取的像素格式"),
    "FORMAT": ("not PNG, JPEG, WebP, TIFF or AVIF", "並非 PNG、JPEG、WebP、TIFF 或 AVIF"),
    "TOO_SMALL": ("too small to judge", "尺寸太小，無法判讀"),
    "ASPECT": ("far too long and narrow", "過於狹長"),
    "PERM": ("may not be read", "沒有讀取權限"),
    "GONE": ("disappeared while running", "執行期間消失"),
    "NOT_FILE": ("a folder, a pipe or a device, not a file", "是資料夾、管線或裝置，而非檔案"),
    "CHANGED": ("changed while it was read", "讀取期間有變動"),
    "NAME": ("the name is not valid UTF-8", "檔名並非有效的 UTF-8"),
    "NO_GARMENT": ("no garment that the encoder knows", "找不到編碼器認得的衣物"),
    "OUTSIDE_ROOT": ("a link that leads out of the folder", "連結指向資料夾之外"),
}


def words(key: str, language: str) -> str:
    """The sentence of that key; `KeyError` where there is none."""
    return TEXT[key][list(LANGUAGES).index(language)]
