"""Upload errors: the HTTP library beneath huggingface_hub. The upload itself is tested with the push of a policy."""

import pytest

from sepo_data.errors import HubError
from sepo_data.publishing.upload import http_errors, hub_errors


@pytest.mark.unstable_api
def test_the_errors_of_the_hub_stand_on_those_of_the_http_library():
    from huggingface_hub.errors import HfHubHTTPError

    assert issubclass(HfHubHTTPError, http_errors())


def test_an_error_of_the_connection_becomes_a_sentence_without_its_cause():
    with pytest.raises(HubError, match="the Hub cannot be reached: HTTPError: no route") as caught, hub_errors("me/it"):
        raise http_errors()[0]("no route\nand more")
    assert caught.value.hint.startswith("check the connection")
    assert caught.value.__suppress_context__
