"""The page of a clip as a person uses it, with mouse and keyboard."""

import io
import json

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from tests.steadymask.cli.conftest import FRAMES
from tests.support.browser import by_id, page_of, press, set_range, settled, until, visit
from tests.support.odd_names import HOSTILE


@pytest.fixture
def page(driver, out):
    return visit(driver, page_of(out, "calm"), "#0")


def seen(driver, which, size):
    """Return what a player shows, (H, W, 3), at the size of the film's panes."""
    canvas = by_id(driver, which)
    driver.execute_script("arguments[0].style.borderRadius = 0", canvas)
    picture = np.asarray(Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("RGB"))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(int)


def panes(out, name):
    """Return the size of the panes, and the film's frames cut into (picture, before, after)."""
    text = json.loads((out / name / "report" / "clip.json").read_text())
    width, height = text["pane"]
    with av.open(str(out / name / "report" / "film.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return (width, height), [frame.reshape(3, height, width, 3).astype(int) for frame in frames]


def shown_frames(driver, out, opacity):
    """Return which frame of the film, and masks of which side, each player shows: by looking."""
    size, film = panes(out, "calm")
    found = []
    for which in ("before", "after"):
        picture = seen(driver, which, size)
        wanted = {
            (t, side): np.minimum(parts[0] + opacity * parts[k], 255)
            for t, parts in enumerate(film)
            for k, side in ((1, "before"), (2, "after"))
        }
        found.append(min(wanted, key=lambda one: np.abs(picture - wanted[one]).mean()))
    return found


def both(frame):
    return [(frame, "before"), (frame, "after")]


def test_one_slider_moves_both_players_to_the_very_frame(page, out):
    set_range(page, "opacity", 1)
    for frame in (0, 5, 13, 14, 23, 6):
        set_range(page, "frame", frame)
        settled(page, frame)
        assert shown_frames(page, out, opacity=1) == both(frame)
        assert by_id(page, "number").text == f"{frame} / {FRAMES - 1}"


def test_keys_step_and_go_to_the_ends(page, out):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    for keys, frame in (
        ([Keys.ARROW_RIGHT] * 3, 3), ([Keys.ARROW_LEFT], 2), ([Keys.END], 23),
        ([Keys.ARROW_RIGHT], 23), ([Keys.HOME], 0), ([Keys.ARROW_LEFT], 0),
    ):  # fmt: skip
        press(page, *keys)
        settled(page, frame)
    ActionChains(page).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
    settled(page, 10)
    set_range(page, "opacity", 1)
    assert shown_frames(page, out, opacity=1) == both(10)


def test_the_frame_slider_with_focus_steps_one_frame_a_key(page):
    from selenium.webdriver.common.keys import Keys

    page.execute_script("slider.focus()")
    press(page, Keys.ARROW_RIGHT)
    settled(page, 1)
    page.execute_script("opacity.focus()")
    press(page, Keys.ARROW_RIGHT)
    assert page.execute_script("return [shown, Number(opacity.value)]") == [1, 0.65]


def test_buttons_step_and_space_plays_to_the_end(page, out):
    for name, frame in (("forward", 1), ("forward", 2), ("back", 1)):
        by_id(page, name).click()
        settled(page, frame)
    page.execute_script("document.activeElement.blur()")
    press(page, " ")
    until(page, "!film.paused && shown > 3")
    assert by_id(page, "play").get_attribute("aria-label") == "pause"
    press(page, " ")
    until(page, "film.paused && !film.seeking")
    stopped = page.execute_script("return shown")
    settled(page, stopped)
    set_range(page, "opacity", 1)
    assert shown_frames(page, out, opacity=1) == both(stopped)
    press(page, " ")
    until(page, f"film.paused && shown === {FRAMES - 1}")


def test_while_it_plays_the_number_is_that_of_the_picture(page):
    page.execute_script(
        "window.pairs = []; let now = null;"
        "function spy(time, about) { now = Math.round(about.mediaTime * clip.rate);"
        " film.requestVideoFrameCallback(spy); }"
        "film.requestVideoFrameCallback(spy);"
        "document.addEventListener('frame', (event) => {"
        " if (!film.paused) pairs.push([event.detail, now]); });"
        "document.activeElement.blur();"
    )
    press(page, " ")
    until(page, "pairs.length > 5")
    press(page, " ")
    pairs = page.execute_script("return pairs")
    assert [told for told, _ in pairs] == [real for _, real in pairs]


def test_opacity_changes_the_masks_and_not_the_picture(page, out):
    set_range(page, "frame", 8)
    settled(page, 8)
    size, film = panes(out, "calm")
    picture, before, _ = film[8]
    for opacity in (0, 0.5, 1):
        set_range(page, "opacity", opacity)
        settled(page, 8)
        wanted = np.minimum(picture + opacity * before, 255)
        assert np.abs(seen(page, "before", size) - wanted).mean() < 4


def test_a_click_on_a_peak_leads_there(page, out):
    from selenium.webdriver import ActionChains

    text = json.loads((out / "calm" / "report" / "clip.json").read_text())["flicker"]["before"]
    peak = max(range(FRAMES), key=lambda t: text["value"][t] or 0)
    assert peak != 0
    plot = by_id(page, "flicker")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    x, y = page.execute_script(
        "const {xaxis, yaxis, width, height} = arguments[0]._fullLayout;"
        "return [xaxis._offset + xaxis.l2p(arguments[1]) - width / 2,"
        " yaxis._offset + yaxis.l2p(arguments[2]) - height / 2]",
        plot, peak, text["value"][peak],
    )  # fmt: skip
    ActionChains(page).move_to_element_with_offset(plot, x, y + 6).pause(0.3).click().perform()
    settled(page, peak)
    until(page, f"at('flicker').layout.shapes[0].x0 === {peak}")


def test_slices_and_flow_follow_what_is_chosen(page, out):
    text = json.loads((out / "calm" / "report" / "clip.json").read_text())
    set_range(page, "row", 2)
    for system in ("before", "after"):
        source = by_id(page, f"slice-{system}").get_attribute("src")
        assert source.endswith("/" + text["slices"][system][2])
    chosen = text["flows"][-1]
    page.execute_script(
        "pair.value = arguments[0]; pair.dispatchEvent(new Event('change'))", len(text["flows"]) - 1
    )
    for what in ("flow", "seen"):
        assert by_id(page, what).get_attribute("src").endswith("/" + chosen[what])
    settled(page, chosen["frame"])


def test_light_and_dark_follow_the_system_and_the_button(page):
    def background():
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    def system(value):
        media = {"features": [{"name": "prefers-color-scheme", "value": value}]}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    system("light")
    light = background()
    system("dark")
    dark = background()
    assert dark != light
    by_id(page, "theme").click()
    assert background() == light
    by_id(page, "theme").click()
    assert background() == dark
    page.execute_script("localStorage.clear()")
    system("light")


def test_a_click_far_from_any_point_goes_to_the_nearest_frame(driver, out):
    from selenium.webdriver import ActionChains

    visit(driver, page_of(out, HOSTILE))  # of few frames: the points of its curve lie far apart
    area = driver.find_element("css selector", "#flicker .nsewdrag")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", area)
    ActionChains(driver).move_to_element(area).move_by_offset(9, 3).pause(0.5).click().perform()
    settled(driver, 3)


def test_the_address_leads_to_a_frame(page):
    page.execute_script("location.hash = '#5'")
    settled(page, 5)
