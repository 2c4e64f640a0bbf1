"""What the programs read in a LoRA file's metadata is there, as text."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image
from pydantic import ValidationError

from modiste.core.version import VERSION
from modiste.trainer.lora.metadata import BucketCount, DatasetFolder, LoraMetadata, thumbnail_url


def metadata(**given) -> LoraMetadata:
    known = dict(
        title="linen",
        family="sd1",
        base_model="stable-diffusion-v1-5",
        trigger="sks dress",
        tag_frequency={"linen": 7, "long sleeves": 3},
        folders=(DatasetFolder(name="summer", count=12, repeats=10),),
        buckets=(BucketCount(width=512, height=768, count=9), BucketCount(width=512, height=512, count=3)),
        images=12,
        rank=16,
        alpha=8.0,
        steps=300,
        started=1.7e9,
        finished=1.7e9 + 60,
        reason="lowest validation loss, at step 300 of 400",
    )
    return LoraMetadata(**(known | given))


def test_all_values_are_text_and_unknowns_are_left_out():
    found = metadata().strings()
    assert all(isinstance(one, str) and one not in ("", "None", "null") for one in found.values())
    assert "ss_text_encoder_lr" not in found and "modelspec.author" not in found
    assert found["ss_network_dim"] == "16" and found["ss_network_alpha"] == "8.0"
    assert found["ss_v2"] == "False" and found["ss_training_comment"] == found["modiste.reason"]
    assert found["modiste.version"] == VERSION


def test_the_trigger_stands_where_programs_look_for_it():
    found = metadata().strings()
    frequency = json.loads(found["ss_tag_frequency"])
    folder, tags = next(iter(frequency.items()))
    assert folder == "10_sks dress"
    assert max(tags, key=tags.get) == "sks dress" and tags["linen"] == 7
    assert json.loads(found["ss_datasets"])[0]["subsets"][0]["class_tokens"] == "sks dress"
    assert found["modelspec.trigger_phrase"] == "sks dress"


def test_a1111_can_show_sizes_and_counts():
    """As its Lora tab does: it decodes values that begin with a brace and reads these keys."""
    found = metadata().strings()
    buckets = json.loads(found["ss_bucket_info"])["buckets"]
    assert {f"{one['resolution'][0]}x{one['resolution'][1]}": one["count"] for one in buckets.values()} == {
        "512x768": 9,
        "512x512": 3,
    }
    assert sum(one["img_count"] for one in json.loads(found["ss_dataset_dirs"]).values()) == 12
    assert found["ss_num_train_images"] == "120"
    float(found["ss_training_started_at"])


@pytest.mark.parametrize(
    ("family", "prediction", "version", "v2", "architecture"),
    [
        ("sd1", "epsilon", "sd_v1", "False", "stable-diffusion-v1/lora"),
        ("sd2", "epsilon", "sd_v2", "True", "stable-diffusion-v2-512/lora"),
        ("sd2", "v_prediction", "sd_v2_v", "True", "stable-diffusion-v2-768-v/lora"),
        ("sdxl", "epsilon", "sdxl_base_v1-0", "False", "stable-diffusion-xl-v1-base/lora"),
    ],
)
def test_the_base_is_named_as_kohya_and_stability_name_it(family, prediction, version, v2, architecture):
    found = metadata(family=family, prediction_type=prediction).strings()
    assert (found["ss_base_model_version"], found["ss_v2"]) == (version, v2)
    assert found["modelspec.architecture"] == architecture


def test_a_thumbnail_is_a_small_jpeg():
    url = thumbnail_url(Image.new("RGBA", (1000, 500), "red"))
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (256, 128)


def test_it_comes_back_equal_from_json_and_refuses_what_it_does_not_know():
    assert LoraMetadata.model_validate_json(metadata().model_dump_json()) == metadata()
    with pytest.raises(ValidationError, match="colour"):
        metadata(colour="red")
