"""What one catalogue version changes against another."""

from dataclasses import replace

import pytest

from app.decision.catalogue import Catalogue, DataCategory, Ground, Purpose, Recipient
from app.decision.difference import Difference, difference

NEWS = Purpose(kind="direct_marketing", grounds=(Ground("consent"), Ground("legitimate_interest")), retention="P2Y")
SERVICE = Purpose(kind="service", grounds=(Ground("contract"),), retention="P6Y")
COURIER = Recipient(role="processor", country="DE")
OLD = Catalogue(
    version="1",
    purposes={"news": NEWS, "service": SERVICE},
    data_categories={"email": DataCategory(), "phone": DataCategory()},
    recipients={"courier": COURIER},
    material_changes=("service",),
)
NOTHING = Difference((), (), (), (), (), (), (), (), ())


def test_the_same_content_differs_in_nothing() -> None:
    new = replace(OLD, version="2", material_changes=(), purposes=dict(reversed(OLD.purposes.items())))
    assert difference(OLD, new) == NOTHING


def test_against_no_version_everything_is_added() -> None:
    assert difference(None, OLD) == NOTHING._replace(
        purposes_added=("news", "service"),
        data_categories_added=("email", "phone"),
        recipients_added=("courier",),
        newly_material=("service",),
    )


def test_added_and_removed() -> None:
    new = Catalogue(
        version="2",
        purposes={"zebra": SERVICE, "service": SERVICE, "ads": NEWS},
        data_categories={"phone": DataCategory(), "name": DataCategory()},
        recipients={"mailer": COURIER},
    )
    assert difference(OLD, new) == NOTHING._replace(
        purposes_added=("zebra", "ads"),
        purposes_removed=("news",),
        data_categories_added=("name",),
        data_categories_removed=("email",),
        recipients_added=("mailer",),
        recipients_removed=("courier",),
    )


@pytest.mark.parametrize(
    "changed",
    [
        replace(NEWS, title="News"),
        replace(NEWS, enabled=False),
        replace(NEWS, channels=("email",)),
        replace(NEWS, retention="P3Y"),
        replace(NEWS, data_categories=("email",)),
        replace(NEWS, notice_lines=(1,)),
    ],
)
def test_a_purpose_changed_but_for_its_grounds(changed: Purpose) -> None:
    new = replace(OLD, purposes={**OLD.purposes, "news": changed}, material_changes=())
    assert difference(OLD, new) == NOTHING._replace(purposes_changed=("news",))


@pytest.mark.parametrize(
    "grounds",
    [
        (),
        (Ground("consent"),),
        (Ground("legitimate_interest"), Ground("consent")),
        (Ground("consent", expires_after="P24M"), Ground("legitimate_interest")),
    ],
)
def test_grounds_changed(grounds: tuple[Ground, ...]) -> None:
    new = replace(OLD, purposes={**OLD.purposes, "news": replace(NEWS, grounds=grounds)}, material_changes=())
    assert difference(OLD, new) == NOTHING._replace(grounds_changed=("news",))


def test_a_purpose_may_change_in_both_ways() -> None:
    new = replace(OLD, purposes={**OLD.purposes, "news": replace(NEWS, grounds=(), retention="P3Y")})
    assert difference(OLD, new) == NOTHING._replace(
        purposes_changed=("news",), grounds_changed=("news",), newly_material=("service",)
    )


def test_no_channels_and_an_empty_list_of_them_are_the_same() -> None:
    new = replace(OLD, purposes={**OLD.purposes, "news": replace(NEWS, channels=())}, material_changes=())
    assert difference(OLD, new) == NOTHING


def test_newly_material_is_what_the_new_version_says() -> None:
    new = replace(OLD, material_changes=("news", "retired", "news"))
    assert difference(OLD, new).newly_material == ("news", "retired")
