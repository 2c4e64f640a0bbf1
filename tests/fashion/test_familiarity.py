"""The tagger knows what it does not know: photos without a garment are named, and garments are not refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lora_samples import small_lora
from typer.testing import CliRunner
from word_encoder import TAXONOMY, WordEncoder, shown

from modiste.cli.app import app
from modiste.cli.choices import leave_out_without_garment
from modiste.core.errors import InputError
from modiste.fashion.familiarity import QUANTILE, Familiarity
from modiste.fashion.photos import gather_photos, read_photo
from modiste.fashion.tagger import Tagger
from modiste.fashion.taxonomy import load_taxonomy
from modiste.mini.familiarity import arriving_photos
from modiste.mini.other_pictures import KINDS, other_pictures
from modiste.models.presets import preset
from modiste.models.vision import open_tagger
from modiste.trainer.lora.file import write_lora

EXAMPLES = Path(__file__).parents[2] / "examples"
DRESS = EXAMPLES / "photos" / "look-01.jpg"


@pytest.fixture(scope="module")
def tagger():
    return open_tagger(preset("mini"), "cpu")


@pytest.fixture
def cat(tmp_path) -> Path:
    pictures = dict(other_pictures(len(KINDS), "tests-familiarity"))
    pictures["landscape"].save(tmp_path / "hills.png")
    return tmp_path / "hills.png"


def known_share(tagger: Tagger, pictures) -> float:
    known = tagger.shows_garment(tagger.observe(pictures))
    return sum(known) / len(known)


# ── the distance ──


def test_the_threshold_leaves_out_its_share_of_held_out_photos_and_a_far_one_is_not_known(tmp_path):
    generator = torch.Generator().manual_seed(0)
    category = torch.arange(600) % 3
    centres = torch.randn(3, 8, generator=generator)

    def sample() -> torch.Tensor:
        return centres[category] + 0.1 * torch.randn(600, 8, generator=generator)

    familiarity, held_out = Familiarity.measured(sample(), category, first := sample()), sample()
    assert sum(familiarity.knows(first)) == pytest.approx(QUANTILE * 600, abs=1)
    assert sum(familiarity.knows(held_out)) >= 0.97 * 600
    assert not any(familiarity.knows(centres + 2)) and all(familiarity.knows(centres))
    mean = (centres[:1] + centres[1:2]) / 2  # near to all categories together, far from each
    assert not familiarity.knows(mean)[0]
    familiarity.save(tmp_path)
    again = Familiarity.load(tmp_path)
    assert again is not None and torch.equal(again.distances(held_out), familiarity.distances(held_out))
    assert Familiarity.load(tmp_path / "elsewhere") is None and Familiarity.load(None) is None


def test_the_distance_does_not_depend_on_the_axes_of_the_space():
    generator = torch.Generator().manual_seed(1)
    embeds, category = torch.randn(400, 6, generator=generator), torch.arange(400) % 2
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q * torch.tensor([1.0, 2, 0.5, 1, 3, 1])
    plain = Familiarity.measured(embeds, category, embeds).distances(embeds)
    turned = Familiarity.measured(embeds @ turn, category, embeds @ turn).distances(embeds @ turn)
    assert torch.allclose(plain, turned, rtol=1e-3)


def test_examples_of_other_pictures_tell_what_the_distance_does_not(tmp_path):
    generator = torch.Generator().manual_seed(2)
    garments, held_out = (torch.randn(2000, 8, generator=generator) for _ in range(2))
    others, new = (torch.randn(800, 8, generator=generator) + 4 * torch.eye(8)[0] for _ in range(2))
    category = torch.zeros(2000, dtype=torch.long)
    by_distance = Familiarity.measured(garments, category, held_out)
    by_examples = Familiarity.measured(garments, category, held_out, others)
    assert sum(by_distance.knows(new)) > 0.5 * 800
    assert sum(by_examples.knows(new)) < 0.1 * 800 and sum(by_examples.knows(held_out)) >= 0.98 * 2000
    assert torch.nn.functional.cosine_similarity(by_examples.direction, torch.eye(8)[0], dim=0) > 0.95
    by_examples.save(tmp_path)
    assert Familiarity.load(tmp_path).knows(new) == by_examples.knows(new)


# ── the embedded models ──


def test_no_example_photo_is_refused(tagger):
    photos = [read_photo(path).image for path in sorted(EXAMPLES.glob("*/*.jpg"))]
    assert len(photos) == 72 and known_share(tagger, photos) == 1.0


def test_hardly_a_held_out_garment_is_refused_and_most_other_pictures_are(tagger):
    garments, _ = arriving_photos(100, "tests-familiarity", held_out=True)
    assert known_share(tagger, garments) >= 0.97
    others = [picture for _, picture in other_pictures(4 * len(KINDS), "tests-others")]
    assert len(others) >= 50 and known_share(tagger, others) <= 0.3


# ── the vocabulary ──


def test_a_photo_whose_nearest_noun_is_absent_shows_no_garment():
    noun = TAXONOMY.groups[0].model_copy(update={"absent": ("a sport",)})
    taxonomy = TAXONOMY.model_copy(update={"groups": (noun, *TAXONOMY.groups[1:])})
    tagger = Tagger(WordEncoder(), taxonomy)
    observations = tagger.observe([shown(dress=1), shown(sport=1, dress=0.2)])
    assert tagger.shows_garment(observations) == [True, False] and tagger.shows_garment([]) == []
    assert tagger.read(observations)[1].get("category") is None
    assert load_taxonomy("garments").noun.absent


# ── commands ──


def test_tag_names_a_photo_without_a_garment_and_goes_on_with_it_where_it_is_told_to(cat, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["tag", str(DRESS), str(cat), "--preset", "mini", "--json"])
    assert result.exit_code == 3 and f"skipped {cat}: NO_GARMENT" in result.stderr and "--force" in result.stderr
    assert [entry["image"] for entry in json.loads(result.stdout)] == [str(DRESS)]
    forced = CliRunner().invoke(app, ["tag", str(DRESS), str(cat), "--preset", "mini", "--json", "--force"])
    assert forced.exit_code == 0 and len(json.loads(forced.stdout)) == 2
    assert forced.stderr.count("demonstration") == 1 and str(cat) in forced.stderr
    alone = CliRunner().invoke(app, ["tag", str(cat), "--preset", "mini"])
    assert alone.exit_code == 2 and "NO_GARMENT" in alone.stderr


def test_score_says_which_of_its_pictures_shows_no_garment(cat):
    result = CliRunner().invoke(app, ["score", str(cat), str(DRESS), "--preset", "mini", "--json"])
    assert json.loads(result.stdout)["without_garment"] == [str(cat)]
    assert f"{cat} shows no garment" in result.stderr
    result = CliRunner().invoke(app, ["score", str(DRESS), str(DRESS), "--preset", "mini", "--json"])
    assert json.loads(result.stdout)["without_garment"] == [] and "no garment" not in result.stderr


def test_compare_and_pipeline_leave_out_a_photo_without_a_garment(cat, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    lora = tmp_path / "lora.safetensors"
    write_lora(small_lora(), lora, {})
    for words in (["pipeline", str(cat), "--trigger", "vesper"], ["compare", str(cat), "--tuned", str(lora)]):
        result = CliRunner().invoke(app, [*words, "--preset", "mini", "--out", str(tmp_path / "out")])
        assert result.exit_code == 2 and "NO_GARMENT" in result.stderr, result.stderr
        assert not (tmp_path / "out").exists()
    words = ["pipeline", str(cat), "--trigger", "vesper", "--preset", "mini", "--out", str(tmp_path / "forced")]
    forced = CliRunner().invoke(app, [*words, "--force"])
    assert forced.exit_code == 2 and "NO_GARMENT" not in forced.stderr  # one photo is no collection
    assert "demonstration" in forced.stderr


def test_compare_goes_on_with_the_photos_that_are_left_ends_with_3_and_takes_all_where_it_is_told_to(
    cat, tmp_path, monkeypatch
):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    drawing = ["--tuned", preset("mini").checkpoint, "--preset", "mini", "--steps", "1", "--seeds", "2"]

    def compared(out: Path, *words: str):
        result = CliRunner().invoke(app, ["compare", str(DRESS), str(cat), *drawing, "--out", str(out), *words])
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        return result, report

    left, report = compared(tmp_path / "left")
    assert left.exit_code == 3 and f"skipped{cat}:NO_GARMENT" in "".join(left.output.split()), left.output
    assert [skip["code"] for skip in report["skipped"]] == ["NO_GARMENT"] and len(report["images"]) == 1
    forced, report = compared(tmp_path / "forced", "--force")
    assert forced.exit_code == 0 and report["skipped"] == [] and len(report["images"]) == 2
    assert f"{cat}: this does not look like" in forced.stderr and "more do not" not in forced.stderr


def test_of_several_photos_without_a_garment_one_is_named_and_the_others_are_counted(cat, tagger, tmp_path, capsys):
    other = tmp_path / "other.png"
    dict(other_pictures(len(KINDS), "tests-familiarity"))["noise"].save(other)
    session = SimpleNamespace(vision=SimpleNamespace(tagger=tagger))
    photos = [cat, other]
    leave_out_without_garment(gather_photos(photos), photos, session, force=True)
    assert f"{cat}: this does not look like" in (said := capsys.readouterr().err) and "and 1 more do not either" in said
    with pytest.raises(InputError, match=r"none of the 2 photos can be used: .*; photos of garments$"):
        leave_out_without_garment(gather_photos(photos), photos, session, force=False)
    with pytest.raises(InputError, match="the photo can't be used: hills.png: NO_GARMENT"):
        leave_out_without_garment(gather_photos([cat]), [cat], session, force=False)


def test_prompt_draws_nothing_for_a_photo_without_a_garment(cat, tmp_path):
    words = ["prompt", str(cat), "--preset", "mini", "--budget", "8", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "NO_GARMENT" in result.stderr and not (tmp_path / "out").exists()
