"""Names of columns, in snake case and camel case, in the singular and the plural."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.shapes.context.names import (
    ROLE_OF_NAME,
    TELLING,
    TELLING_BESIDE_A_GUESS,
    WORDS,
    is_telling,
    names_media,
    telling_among,
    tells,
    tells_of_responses,
)


@pytest.mark.parametrize(
    "name",
    [
        *("image", "Images", "image_1", "input_images", "imageUrl", "image_paths", "photo_b64", "video", "audio_file"),
        *("pixel_values", "img_id", "product_image", "chosen_image"),
    ],
)
def test_names_of_media(name):
    assert names_media(name)


@pytest.mark.parametrize(
    "name", ["image_caption", "imagery", "has_images_of_cats", "videographer", "pixels", "path", ""]
)
def test_names_of_no_media(name):
    assert not names_media(name)


@pytest.mark.parametrize(
    "name", ["context", "Context", "retrievedPassages", "chat_history", "previous_answer", "sysPrompt"]
)
def test_names_that_tell_of_context(name):
    assert tells(name)


@pytest.mark.parametrize(
    "name", ["contextual", "full_chosen", "document_for_rejected", "rationale", "source", "id", "", "文"]
)
def test_names_that_tell_nothing(name):
    assert not tells(name)


def test_names_of_responses():
    assert tells_of_responses("generated_answers")
    assert not tells_of_responses("response_prefix")
    assert not TELLING & TELLING_BESIDE_A_GUESS


PARTS = st.sampled_from(["feature", "X", "1", "_", "s", "64", "Context", "\n", *WORDS, *ROLE_OF_NAME])


@given(st.lists(st.lists(PARTS, max_size=4).map("".join), unique=True))
def test_telling_names_among_many_are_those_that_tell_alone(names):
    assert list(telling_among(names)) == [name for name in names if is_telling(name)]
