"""The words of the verdict in English and Traditional Chinese (Taiwan), as data."""

from __future__ import annotations

from .prompt_texts import LANGUAGES, TEXT

# key → (English, Traditional Chinese); {names} are filled in by the page and are the same in both.
VERDICT: dict[str, tuple[str, str]] = {
    "v_title": ("Words or weights?", "靠文字，還是靠訓練？"),
    "v_subtitle": (
        "The same prompts on the same seeds, drawn by both models, compared with photos that neither has seen.",
        "兩個模型以相同的提示詞與種子繪圖，再與兩者都沒看過的照片比較。",
    ),
    "v_photos": ("{n} photos for the proof", "{n} 張驗證用照片"),
    # the verdict
    "d_training": ("Training paid", "訓練值得"),
    "d_no difference": ("No difference", "沒有差異"),
    "d_words": ("The words do it", "文字就夠了"),
    "d_worse than words": ("Worse than the words", "不如文字"),
    "d_worse than base": ("Training harmed", "訓練有害"),
    "d_changes nothing": ("This file changes nothing", "此檔案毫無作用"),
    "level_proven": ("proven: score and second opinion agree", "已證實：評分與第二意見一致"),
    "level_likely": ("likely: the second opinion only points the same way", "可能：第二意見僅方向相同"),
    "level_one witness": ("one witness: there was no second opinion", "單一證據：沒有第二意見"),
    "d_training_short": (
        "Use the tuned file: its pictures are nearer to the collection than the best words’.",
        "請用訓練出的檔案：圖片比最佳文字更接近這個系列。",
    ),
    "d_words_short": (
        "Stay with the words: the best prompt brings what there is to gain, and nothing is proven that the file adds.",
        "維持用文字：能得到的進步已由最佳提示詞帶來，檔案的額外效果未經證實。",
    ),
    "d_no difference_short": (
        "Stay with the words: nothing is proven that the file adds.",
        "維持用文字：檔案的額外效果未經證實。",
    ),
    "d_worse than words_short": (
        "Stay with the words: the file’s pictures are further from the collection than the best words’.",
        "維持用文字：檔案的圖片比最佳文字離這個系列更遠。",
    ),
    "d_worse than base_short": (
        "Leave the file: its pictures are further from the collection than the base model’s.",
        "別用這個檔案：圖片比原模型離這個系列更遠。",
    ),
    "d_changes nothing_short": (
        "Base and tuned model draw the same pictures, pixel by pixel.",
        "原模型與訓練後的模型畫出完全相同的圖片。",
    ),
    "s_training": (
        "On garments that it never saw, the tuned model comes {gain} points nearer to the photo than the best words do "
        "({low} to {high}).",
        "在從未見過的衣服上，訓練後的模型比最佳文字更接近照片 {gain} 分（{low} 至 {high}）。",
    ),
    "s_even": (
        "With the same prompts and seeds the tuned model comes to {gain} points ({low} to {high}): zero can’t be ruled "
        "out.",
        "以相同的提示詞與種子，訓練後模型的差異為 {gain} 分（{low} 至 {high}）：無法排除為零。",
    ),
    "s_same": (
        "Both models draw the same pictures, pixel by pixel.",
        "兩個模型畫出的圖片，每個像素都相同。",
    ),
    "s_worse": (
        "With the same prompts and seeds the tuned model is {gain} points ({low} to {high}): further from the photos.",
        "以相同的提示詞與種子，訓練後的模型為 {gain} 分（{low} 至 {high}）：離照片更遠。",
    ),
    "s_scorer_only": (
        "The score rises by {gain} points over the base model ({low} to {high}), but not everything agrees, so it does "
        "not count.",
        "與原模型相比，分數上升 {gain} 分（{low} 至 {high}），但並非各項都一致，因此不算數。",
    ),
    "s_worse_words": (
        "On garments that it never saw, the tuned model is {gain} points ({low} to {high}) against the best words: "
        "further from the photos.",
        "在從未見過的衣服上，訓練後的模型與最佳文字相比為 {gain} 分（{low} 至 {high}）：離照片更遠。",
    ),
    "s_over_base": (
        "Over the base model on the same prompts it is {gain} ({low} to {high}), which the words alone surpass.",
        "以相同提示詞與原模型相比為 {gain} 分（{low} 至 {high}），但不如只用文字。",
    ),
    "s_words_won": (
        "The base model comes {gain} points nearer to the photos with the best words than with the training’s own "
        "prompt ({low} to {high}).",
        "原模型使用最佳文字，比使用訓練的提示詞更接近照片 {gain} 分（{low} 至 {high}）。",
    ),
    "s_file_adds": (
        "Over the best words the tuned model comes to {gain} ({low} to {high}).",
        "與最佳文字相比，訓練後的模型為 {gain} 分（{low} 至 {high}）。",
    ),
    "s_loss": (
        "Proven the other way: {pair}, {gain} ({low} to {high}) by the {witness}.",
        "另有證實的退步：{pair}，{gain} 分（{low} 至 {high}），依{witness}。",
    ),
    "loss_tuned_base": ("the tuned model against the base model", "訓練後的模型對原模型"),
    "loss_tuned_words": ("the tuned model against the best words", "訓練後的模型對最佳文字"),
    "loss_words_base": ("the best words against the training’s own prompt", "最佳文字對訓練的提示詞"),
    "s_judge": (
        "The second opinion, a model that chose nothing here, says {gain} ({low} to {high}).",
        "未參與任何選擇的第二意見為 {gain} 分（{low} 至 {high}）。",
    ),
    "s_judge_unsure": (
        "The second opinion, a model that chose nothing here, points the same way, unsure: {gain} ({low} to {high}).",
        "未參與任何選擇的第二意見方向相同，但不夠肯定：{gain} 分（{low} 至 {high}）。",
    ),
    "s_no_judge": (
        "There was no second opinion on this machine: read the figure with care.",
        "這台機器上沒有第二意見：請謹慎解讀數字。",
    ),
    "s_words": (
        "The words paid too: {gain} points over the garment’s name alone ({low} to {high}).",
        "文字也值得：比只寫衣服名稱高 {gain} 分（{low} 至 {high}）。",
    ),
    "s_words_alone": (
        "The words paid: {gain} points over the garment’s name alone ({low} to {high}).",
        "文字值得：比只寫衣服名稱高 {gain} 分（{low} 至 {high}）。",
    ),
    "s_words_even": (
        "Of the words no gain over the garment’s name alone is proven: {gain} ({low} to {high}).",
        "文字相對於只寫衣服名稱的進步未經證實：{gain} 分（{low} 至 {high}）。",
    ),
    "s_word_groups": (
        "What the words bring is {groups}.",
        "文字帶來的是{groups}。",
    ),
    "s_groups": (
        "Training draws these more faithfully: {groups}.",
        "訓練讓這些畫得更準確：{groups}。",
    ),
    "s_look": (
        "What training brings is the look itself: it shows in the likeness and has no word in the vocabulary.",
        "訓練帶來的是整體樣貌本身：相似度看得出來，詞彙表中卻沒有對應的詞。",
    ),
    "s_lost": (
        "It draws these less often than before: {groups}.",
        "這些比之前更少畫出：{groups}。",
    ),
    "s_kept": (
        "Without the trigger the model still follows the words ({gain} points of tags, {low} to {high}).",
        "不加觸發詞時，模型仍遵循文字（標籤符合度 {gain} 分，{low} 至 {high}）。",
    ),
    "s_forgot": (
        "Without the trigger it follows the words less than before ({gain} points of tags, {low} to {high}).",
        "不加觸發詞時，模型比以前更不遵循文字（標籤符合度 {gain} 分，{low} 至 {high}）：有所遺忘。",
    ),
    "s_unclear": (
        "Whether it still follows the words without the trigger is open ({gain} points of tags, {low} to {high}).",
        "不加觸發詞時是否仍遵循文字，尚無法確定（標籤符合度 {gain} 分，{low} 至 {high}）。",
    ),
    "s_kept_always": (
        "The model still follows the words ({gain} points of tags, {low} to {high}).",
        "模型仍遵循文字（標籤符合度 {gain} 分，{low} 至 {high}）。",
    ),
    "s_forgot_always": (
        "The model follows the words less than before ({gain} points of tags, {low} to {high}).",
        "模型比以前更不遵循文字（標籤符合度 {gain} 分，{low} 至 {high}）：有所遺忘。",
    ),
    "s_unclear_always": (
        "Whether the model still follows the words is open ({gain} points of tags, {low} to {high}).",
        "模型是否仍遵循文字，尚無法確定（標籤符合度 {gain} 分，{low} 至 {high}）。",
    ),
    "s_leaks": (
        "The look also comes without the trigger ({gain} points, {low} to {high}): while the file is on, everything "
        "wears it.",
        "不加觸發詞也會出現這種樣貌（{gain} 分，{low} 至 {high}）：只要載入檔案，一切都會套上它。",
    ),
    "s_copies": (
        "{share} % of its pictures are copies: like a second photo of a training garment, and less like their own.",
        "{share}% 的圖片屬於抄襲：像訓練衣服的另一張照片，反而不像自己該畫的衣服。",
    ),
    "s_no_copies": (
        "It draws new garments: {share} % of its pictures repeat a training photo.",
        "它畫的是新衣服：重複訓練照片的圖片佔 {share}%。",
    ),
    # what it cost
    "cost_both": (
        "The words took {words_time} and {words_pictures} pictures; training took {training_time}{memory} and leaves "
        "{size}.",
        "文字花了 {words_time}、{words_pictures} 張圖；訓練花了 {training_time}{memory}，留下 {size}。",
    ),
    "cost_file": ("The file takes {size} of disk.", "檔案佔用磁碟 {size}。"),
    "memory_of": (", {memory} of memory at its peak,", "、記憶體峰值 {memory}"),
    # what next
    "n_use": (
        "Use {file} at strength {strength} and write “{trigger}” before the garment.",
        "使用 {file}，強度 {strength}，並在衣服名稱前寫上「{trigger}」。",
    ),
    "n_use_model": (
        "Use {file} as the checkpoint and write “{trigger}” before the garment.",
        "以 {file} 作為模型，並在衣服名稱前寫上「{trigger}」。",
    ),
    "n_use_always": ("Use {file} at strength {strength}.", "使用 {file}，強度 {strength}。"),
    "n_use_model_always": ("Use {file} as the checkpoint.", "以 {file} 作為模型。"),
    "n_words": (
        "Stay with the best prompt: it costs nothing and works in every model.",
        "維持使用最佳提示詞：不花成本，任何模型都能用。",
    ),
    "n_photos": (
        "If the look matters, train again on more photos: {n} were learned from, 20 to 200 make a collection.",
        "若樣貌很重要，請用更多照片重新訓練：這次學了 {n} 張，20 至 200 張才算一個系列。",
    ),
    "n_proof": (
        "More garments kept for the proof would narrow the interval: it rests on {n}.",
        "保留更多驗證用的衣服能縮小區間：目前只有 {n} 件。",
    ),
    "n_stronger": (
        "The highest strength was the best: training was short; give it more --steps.",
        "最高強度最好：訓練不足，請增加 --steps。",
    ),
    "n_weaker": (
        "The lowest strength was the best: training was too much; fewer --steps or a smaller --learning-rate.",
        "最低強度最好：訓練過度，請減少 --steps 或降低 --learning-rate。",
    ),
    "n_class": (
        "To keep the look with its trigger, train with pictures of the class beside the photos: "
        "modiste pipeline --with-generated.",
        "若要讓樣貌只隨觸發詞出現，請加入同類圖片一起訓練：modiste pipeline --with-generated。",
    ),
    "n_copies": (
        "Against copies: fewer --steps, a smaller --rank, or more photos.",
        "避免抄襲：減少 --steps、降低 --rank，或增加照片。",
    ),
    "n_nothing": (
        "Check that {file} belongs to this base model and is not empty: lora verify says which of its keys are read.",
        "請確認 {file} 適用於這個原模型且並非空檔：lora verify 會列出讀得到的鍵。",
    ),
    "n_harm": (
        "Look at the captions first: a word that is wrong in many of them is learned like one that is right.",
        "先檢查圖說：在許多圖說中都錯的詞，會和對的詞一樣被學進去。",
    ),
    # the ladder
    "a_name": ("Name only", "僅名稱"),
    "a_words": ("Best words", "最佳文字"),
    "a_base": ("Same prompt, base model", "相同提示詞，原模型"),
    "a_tuned": ("Tuned", "訓練後"),
    "a_tuned_words": ("Tuned, no trigger", "訓練後，無觸發詞"),
    "a_name_is": ("the base model and what the garment is called", "原模型，只給衣服名稱"),
    "a_words_is": ("the base model and the form of prompt that won", "原模型，用勝出的提示詞寫法"),
    "a_tuned_words_always": ("Tuned, the best words", "訓練後，最佳文字"),
    "a_tuned_always_is": ("the tuned model, on the same seeds", "訓練後的模型，相同種子"),
    "a_tuned_is": ("the tuned model and its trigger, on the same seeds", "訓練後的模型加觸發詞，相同種子"),
    "gain_tuned_words": ("Tuned over words", "訓練後 對 最佳文字"),
    "gain_tuned_base": ("Tuned over base", "訓練後 對 原模型"),
    "gain_words_name": ("Words over name only", "文字 對 僅名稱"),
    "by_scorer": ("score", "評分"),
    "by_judge": ("judge", "第二意見"),
    "gains_note": (
        "Points of similarity, paired picture by picture; the brackets count garments as witnesses, not pictures. "
        "Gains over words and base model compare scores before they are cut to 0 … 100.",
        "相似度分數，逐張配對；括號以衣服件數而非圖片張數為證據計算。"
        "對文字與原模型的增益，以截至 0 … 100 之前的分數比較。",
    ),
    # chapters
    "c_words": ("What the words found", "文字找到了什麼"),
    "c_words_lead": (
        "From {n} photos: {minimal} points with the name alone, {baseline} with every tag, <b>{best}</b> with the best "
        "prompts; {gain} over the name ({low} to {high}), on seeds that the search never saw.",
        "取自 {n} 張照片：僅名稱 {minimal} 分，全部標籤 {baseline} 分，最佳提示詞 <b>{best}</b> 分；"
        "比僅名稱高 {gain} 分（{low} 至 {high}），皆以搜尋未見過的種子計算。",
    ),
    "c_words_format": (
        "The form that won, <b>{strategy}</b>, is how the captions are written.",
        "勝出的寫法 <b>{strategy}</b> 也就是圖說的寫法。",
    ),
    "c_words_beyond": (
        "Of {n} photos something stayed beyond words.",
        "其中 {n} 張照片仍有文字無法表達之處。",
    ),
    "best_prompt": ("The best prompt", "最佳提示詞"),
    "best_file": ("The best file", "最佳檔案"),
    "trigger": ("Trigger", "觸發詞"),
    "copy": ("Copy", "複製"),
    "copied": ("Copied", "已複製"),
    "c_training": ("What training learned", "訓練學到了什麼"),
    "c_training_lead": (
        "{photos} photos, {steps} steps; step {best} was kept: its loss on photos that it never trained on was least.",
        "{photos} 張照片、{steps} 步；保留第 {best} 步，因為它在未訓練照片上的損失最低。",
    ),
    "c_training_last": (
        "{photos} photos, {steps} steps; the last was kept, as the pictures and not the loss decide here.",
        "{photos} 張照片、{steps} 步；保留最後一步，因為這裡由圖片而非損失決定。",
    ),
    "c_loss_gain": (
        "Its loss on them is lower than the base model’s by {gain} ({low} to {high}).",
        "它在驗證照片上的損失比原模型低 {gain}（{low} 至 {high}）。",
    ),
    "c_class": (
        "{n} pictures of the class, which the base model drew of the photos’ own words, keep the look to its trigger.",
        "另有 {n} 張同類圖片，由原模型依照片自身的文字繪成，讓樣貌只隨觸發詞出現。",
    ),
    "c_captions": ("Captions, as they were learned", "學習時使用的圖說"),
    "loss_chart": ("Training loss, running mean", "訓練損失（移動平均）"),
    "validation_chart": (
        "Better than the base model on validation photos, by loss",
        "在驗證照片上優於原模型的程度（損失）",
    ),
    "c_strength": ("How strong?", "要多強？"),
    "c_strength_lead": (
        "Move along the strengths; every picture changes with it. 0 is the base model. The strength was chosen on "
        "seeds that the verdict does not use.",
        "移動強度，所有圖片會一起改變。0 為原模型。強度以判定時不使用的種子選出。",
    ),
    "strength": ("Strength", "強度"),
    "chosen": ("chosen", "選用"),
    "c_proof": ("The proof", "驗證"),
    "c_proof_lead": (
        "Photos that neither the search nor the training has seen, beside what each way draws of them, all on the "
        "first seed of each photo.",
        "搜尋與訓練都沒看過的照片，以及各種方式繪出的結果，每張照片都取其第一個種子。",
    ),
    "all_seeds": ("All {n} seeds of every photo", "每張照片的全部 {n} 個種子"),
    "c_routes": ("The two routes, as measured", "兩條路線的實測比較"),
    "r_prompt": ("Prompt route", "提示詞路線"),
    "r_training": ("Training route", "訓練路線"),
    "r_time": ("Time", "時間"),
    "r_compute": ("Compute", "運算"),
    "r_persistence": ("Persistence", "持續性"),
    "r_consistency": ("Consistency", "一致性"),
    "r_gain": ("Gain", "增益"),
    "r_unknown": ("not measured here", "此處未量測"),
    "r_passes": ("{n} passes through the UNet", "UNet 運算 {n} 次"),
    "r_memory": ("{memory} of memory at the peak", "記憶體峰值 {memory}"),
    "r_persist_prompt": (
        "{n} characters of text, to be written each time; every model reads them",
        "{n} 個字元的文字，每次都要寫；任何模型都讀得懂",
    ),
    "r_persist_training": (
        "{size} that stay, for this family of models; one word calls them",
        "{size}，永久保存，適用同系列模型；一個詞即可喚出",
    ),
    "r_spread": (
        "±{spread} points from seed to seed; {share} % of the named attributes drawn",
        "種子之間 ±{spread} 分；畫出 {share}% 的指定屬性",
    ),
    "r_gain_prompt": ("{gain} over the name alone ({low} to {high})", "比僅名稱高 {gain}（{low} 至 {high}）"),
    "r_gain_training": ("{gain} over the best words ({low} to {high})", "比最佳文字高 {gain}（{low} 至 {high}）"),
    "c_attributes": ("What is drawn as named", "依指定畫出的屬性"),
    "attributes_note": (
        "Share of pictures in which a tagger finds again what it found in the photo.",
        "標記器在圖片中再次找到與照片相同內容的比例。",
    ),
    "attribute": ("Attribute", "屬性"),
    "all_groups": ("All together", "整體"),
    "c_honest": ("Did it forget, or copy?", "是否遺忘或抄襲？"),
    "diversity": (
        "Two pictures of one prompt are {tuned} points apart with the tuned model, {base} with the base model.",
        "同一提示詞的兩張圖，訓練後模型相差 {tuned} 分，原模型相差 {base} 分。",
    ),
    "nearest": (
        "The nearest that any picture came to a photo of the training: {nearest} points. Judge the pair yourself.",
        "所有圖片中最接近訓練照片者：{nearest} 分。請自行比較這一對。",
    ),
    "nearest_context": (
        "On average {tuned} to the nearest training photo; the base model {base}; real unseen pieces of the collection "
        "{photos}.",
        "與最近訓練照片的平均相似度為 {tuned} 分；原模型 {base} 分；系列中未見過的實物照片 {photos} 分。",
    ),
    "nearest_picture": ("Drawn", "繪出的圖"),
    "nearest_photo": ("Trained on", "訓練照片"),
    "no_memory": (
        "The photos that it was trained on are not here, so copies can’t be looked for.",
        "訓練用的照片不在這裡，因此無法檢查抄襲。",
    ),
    "c_next": ("What to do next", "接下來怎麼做"),
    "c_how": ("How this was measured", "如何量測"),
    "how_split": (
        "{proof} photos were set aside first, by their content. {training} were searched and trained on, {validation} "
        "watched over the training.",
        "先依內容保留 {proof} 張照片。{training} 張用於搜尋與訓練，{validation} 張用於監看訓練。",
    ),
    "how_pairs": (
        "Every way drew a photo on the same seeds, so that luck is the same for all; each photo has seeds of its own, "
        "and those that chose the strength are others.",
        "每張照片的各種方式都用相同種子，運氣人人相同；每張照片有自己的種子，選擇強度的種子另有一組。",
    ),
    "how_rule": (
        "“Paid” is said only where the score’s intervals over the best words, and over the base model on the same "
        "prompts, lie above zero, and a judge that chose nothing sees a gain in both; where its intervals exclude zero "
        "too it is “proven”, else “likely”. A loss that is proven is always said.",
        "只有與最佳文字、以及以相同提示詞與原模型相比，評分區間都在零以上，且未參與選擇的第二意見在兩者中都看到進步時，"
        "才說「值得」；第二意見的區間也排除零時為「已證實」，否則為「可能」。任何已證實的退步都會寫出。",
    ),
    "choose_seeds": ("Seeds that chose", "選擇用種子"),
    "tuned_file": ("Tuned model", "訓練後的模型"),
    "notes_here": ("To be known", "備註"),
    "unknown_training": (
        "It is not known what the tuned model was trained on: these photos may have been among it.",
        "不知道模型以哪些照片訓練：這些照片可能就在其中。",
    ),
    "few_garments": (
        "Fewer than three garments: hardly any difference can be proven with so few.",
        "不到三件衣服：這麼少幾乎無法證實任何差異。",
    ),
}


def words(key: str, language: str) -> str:
    """The sentence of that key, of the verdict's or of the reports' common ones; `KeyError` where there is none."""
    return (VERDICT.get(key) or TEXT[key])[list(LANGUAGES).index(language)]
