"""``ezcaptcha types``."""

from __future__ import annotations

from ezcaptcha_async.cli.output import points
from ezcaptcha_async.tasks import TASK_TYPES
from tests.cli.commands import Cli


def test_the_table_shows_types_fields_and_prices(cli: Cli) -> None:
    """A user would have to look up on several pages what a type needs and costs."""
    result = cli("types")
    assert (result.code, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert ["type", "ezcaptcha", "1captcha"] in lines
    assert ["ReCaptchaV2TaskProxyless", "6", "4"] in lines
    assert ["ReCaptchaV2STaskProxyless", "6", "or", "15", "-"] in lines
    assert ["CloudFlare5STask", "not", "stated", "-"] in lines
    assert ["HCaptcha", "not", "stated", "-"] in lines
    assert ["website_url", "proxy", "[rq_data={...}]"] in lines
    shown = " ".join(result.out.split())
    v2 = "website_url website_key [proxy] [website_title] [is_invisible=false] [sa] [s]"
    v3 = "website_url website_key [proxy] [website_title] [page_action] [is_invisible=true]"
    assert shown.count(v2) == 5
    assert shown.count(f"{v3} [check_field]") == 4
    assert "[data={...}] [api_js_subdomain] [proxy] [cn=true|false]" in shown
    assert "website_url website_key [proxy] [lang=en-US] [invisible=false] [rqdata]" in shown
    assert "Fields in brackets may be left out; extra={...} takes any other." in shown
    assert all(line[:2] == "  " for line in result.out.splitlines() if line), "wrapped lines too"
    assert "10,000 points are 1 USD at ezcaptcha" in " ".join(result.out.split())
    assert all(len(line) <= 80 for line in result.out.splitlines())


def test_the_same_for_a_machine(cli: Cli) -> None:
    """A form or a price list could not be made from it."""
    document = cli("types", "--json").document
    assert [item["type"] for item in document["types"]] == [item.__name__ for item in TASK_TYPES]
    first = document["types"][0]
    assert [offer["type"] for offer in first["offers"]] == [
        "ReCaptchaV2TaskProxyless",
        "RecaptchaV2TaskProxyless",
    ]
    fields = {field["name"]: field for field in first["fields"]}
    assert list(fields) == [
        *("website_url", "website_key", "proxy", "website_title"),
        *("is_invisible", "sa", "s", "extra"),
    ]
    assert fields["is_invisible"] == {
        "name": "is_invisible",
        "wire": "isInvisible",
        "form": "flag",
        "required": False,
        "default": False,
    }
    assert fields["proxy"]["form"] == "text"
    assert (fields["extra"]["wire"], fields["extra"]["form"]) == (None, "object")
    by_type = {item["type"]: item for item in document["types"]}
    (offer,) = by_type["HCaptcha"]["offers"]
    assert (offer["points"], offer["lowest_points"]) == (None, None), "no page states a price"
    fun = {field["name"]: field["form"] for field in by_type["FuncaptchaTaskProxyless"]["fields"]}
    assert (fun["cn"], fun["data"], fun["proxy"]) == ("flag", "object", "text")
    assert [service["currency"] for service in document["services"]] == ["USD", "CNY"]


def test_prices_with_a_fraction() -> None:
    """A price of one half point would be shown as none."""
    assert points(0.5) == "0.50"
