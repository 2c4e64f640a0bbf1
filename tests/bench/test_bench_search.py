"""The search bench is fair: every rival has what the product's own arms have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import paper_studio

from modiste.bench.search import Bench, KeepingHost, SearchRow, as_text, modiste_prompts, plain_list, rival_prompts
from modiste.fashion.photos import Photo
from modiste.fashion.prompts.strategies import Context, TaggedPhoto

TAXONOMY = paper_studio.TAXONOMY


def test_all_rivals_and_the_plain_list_share_view_words_and_the_lack_of_a_negative_prompt():
    session = paper_studio.session()
    session = replace(session, host=KeepingHost(session.host))
    bench = Bench(session, paper_studio.settings(budget=16))
    photo = Photo(Path("red.png"), paper_studio.paint(paper_studio.COLOURS["red"], False, 4, 1), "1" * 64)
    (tags,) = session.vision.tagger.tag([photo.image])
    tagged = TaggedPhoto(tags, TAXONOMY, Context())
    prompts = rival_prompts(bench, photo, tagged, range(2, 80, 2), 0)
    prompts |= {"plain list": plain_list(bench, tagged)}
    for method, prompt in prompts.items():
        extras = (prompt.positive.endswith("plain background"), prompt.negative)
        assert extras == (True, "") or method == "best single image", f"{method}: {prompt}"
    (ours,) = modiste_prompts(bench, [photo], [tags], Context())
    scorer, judge = bench.worth(photo.image, ours, [1, 3, 5])
    assert scorer != judge


def test_the_table_shows_the_gain_by_the_score_and_by_the_judge():
    ours = SearchRow("modiste", 24, 3.0, 1.0, 5.0, 2.0, -1.0, 5.0, photos=2, by_photo=[(2.0, 1.0), (4.0, 3.0)])
    rival = SearchRow("random search", 24, 1.0, 0.0, 2.0, 0.0, -1.0, 1.0, photos=2, by_photo=[(1.0, 2.0), (1.0, -2.0)])
    text = as_text([ours, rival])
    assert "random search                     24  +2.0 (-10.7 … +14.7) / +2.0 (-36.1 … +40.1)" in text
    assert "by the score" in text and "+3.0 (+1.0 … +5.0)" in text
    assert "by the judge" in text and "+2.0 (-1.0 … +5.0)" in text
