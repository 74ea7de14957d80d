"""The page of a clip as a person uses it, with mouse and keyboard."""

import io
import json

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from stages.ops.drawn_pictures import lay_over
from tests.steadymask.cli.conftest import FRAMES
from tests.support.browser import by_id, page_of, press, set_range, settled, until, visit
from tests.support.odd_names import HOSTILE


@pytest.fixture
def page(driver, out):
    return visit(driver, page_of(out, "calm"), "#0")


def shown_picture(driver, which, size):
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
    results = []
    for which in ("before", "after"):
        picture = shown_picture(driver, which, size)
        wanted = {
            (t, side): composed(parts, k, opacity)
            for t, parts in enumerate(film)
            for k, side in ((1, "before"), (2, "after"))
        }
        results.append(min(wanted, key=lambda frame: np.abs(picture - wanted[frame]).mean()))
    return results


def composed(parts, which, opacity):
    """Return a picture with a layer of masks over it, as the players show it."""
    over = lay_over(parts[0].astype(np.uint8), parts[which].astype(np.uint8))
    return (1 - opacity) * parts[0] + opacity * over


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
    assert page.execute_script("return [shown, Number(opacity.value)]") == [1, 0.75]


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
    for opacity in (0, 0.5, 1):
        set_range(page, "opacity", opacity)
        settled(page, 8)
        wanted = composed(film[8], 1, opacity)
        # A layer of hard light doubles what two decoders differ by.
        assert np.abs(shown_picture(page, "before", size) - wanted).mean() < 3 * (1 + opacity)


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
    assert not by_id(page, "aligned-note").is_displayed()
    for names, note in ((text["slices"]["aligned"], True), (text["slices"], False)):
        page.execute_script("aligned.click()")
        source = by_id(page, "slice-after").get_attribute("src")
        assert source.endswith("/" + names["after"][2])
        assert by_id(page, "aligned-note").is_displayed() == note
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


def test_a_page_opens_at_the_frame_of_the_largest_change(driver, out):
    text = json.loads((out / "calm" / "report" / "clip.json").read_text())
    values = text["changed"]["value"]
    assert values[text["opens"]] == max(values)
    visit(driver, page_of(out, "calm"))
    settled(driver, text["opens"])


def test_the_wipe_shows_before_on_its_left_and_after_on_its_right(page, out):
    set_range(page, "opacity", 1)
    page.execute_script("document.activeElement.blur()")
    press(page, "w")
    frame = json.loads((out / "calm" / "report" / "clip.json").read_text())["opens"]
    set_range(page, "frame", frame)
    settled(page, frame)
    size, film = panes(out, "calm")
    before, after = (composed(film[frame], k, 1) for k in (1, 2))
    assert page.execute_script("return at('second').offsetParent === null")
    for share in (0.2, 0.8):
        set_range(page, "wipe", share)
        settled(page, frame)
        line, picture = round(share * size[0]), shown_picture(page, "before", size)
        assert np.abs(picture - before)[:, : line - 4].mean() < 6
        assert np.abs(picture - after)[:, line + 4 :].mean() < 6
    assert np.abs(before - after)[:, : size[0] // 2].mean() > 1
    press(page, "w")
    assert page.execute_script("return at('second').offsetParent !== null")


def test_zoom_magnifies_about_the_middle_and_goes_back(page, out):
    set_range(page, "opacity", 0)
    set_range(page, "frame", 3)
    settled(page, 3)
    (width, height), film = panes(out, "calm")
    page.execute_script("document.activeElement.blur(); zoom(2)")
    settled(page, 3)
    part = film[3][0][height // 4 : -height // 4, width // 4 : -width // 4].astype(np.uint8)
    wanted = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    assert np.abs(shown_picture(page, "before", (width, height)) - wanted).mean() < 8
    assert by_id(page, "zoom").text == "2×"
    press(page, "0")
    settled(page, 3)
    assert np.abs(shown_picture(page, "before", (width, height)) - film[3][0]).mean() < 4


def test_dragging_moves_a_picture_that_is_zoomed_and_never_beyond_its_edge(page):
    from selenium.webdriver import ActionChains

    page.execute_script("zoom(2)")
    canvas = by_id(page, "after")
    start = page.execute_script("return [view.x, view.y]")
    ActionChains(page).drag_and_drop_by_offset(canvas, -40, 0).perform()
    assert page.execute_script("return view.x") > start[0]
    ActionChains(page).drag_and_drop_by_offset(canvas, 200, 200).perform()
    ActionChains(page).drag_and_drop_by_offset(canvas, 200, 200).perform()
    assert page.execute_script("return [view.x, view.y]") == [width / 2 for width in start]
    page.execute_script("zoom(1 / view.zoom)")


def test_next_to_check_goes_round_the_frames_with_a_reason(page):
    checks = page.execute_script("return clip.checks")
    frames = [check["frame"] for check in checks]
    assert frames == sorted(set(frames))
    page.execute_script("go(0); document.activeElement.blur()")
    for wanted in [check for check in checks if check["frame"] > 0][:3]:
        press(page, "n")
        settled(page, wanted["frame"])
        assert by_id(page, "reason").text == f"frame {wanted['frame']}: {wanted['words']}"
    page.execute_script("go(last)")
    by_id(page, "next").click()
    settled(page, frames[0])


def test_a_term_is_explained_by_keyboard_and_pointer_and_goes_with_escape(page):
    from selenium.webdriver.common.keys import Keys

    mark = page.find_element("css selector", ".facts .word")
    box = by_id(page, mark.get_attribute("popovertarget"))
    mark.click()
    assert box.is_displayed()
    assert "Lower" in box.text or "lower" in box.text
    press(page, Keys.ESCAPE)
    assert not box.is_displayed()
    page.execute_script("arguments[0].focus()", mark)
    press(page, Keys.ENTER)
    assert box.is_displayed()
    press(page, Keys.ESCAPE)


def test_the_files_of_a_clip_are_linked_to_and_there(page, out):
    from urllib.parse import unquote, urlparse

    links = page.find_elements("css selector", ".facts.soft a")
    assert [link.text for link in links] == ["masks/", "masks.mkv", "overlay.mp4", "metrics.json"]
    for link in links:
        path = unquote(urlparse(link.get_attribute("href")).path)
        assert (out / "calm" / link.text.rstrip("/")).samefile(path)


def test_the_lanes_show_risk_trust_changes_and_flicker_and_lead_to_a_frame(page):
    lanes = page.find_elements("css selector", "#lanes div")
    assert [lane.text for lane in lanes] == ["risk", "trust", "changed", "flicker"]
    lane = lanes[0].find_element("tag name", "canvas")
    page.execute_script(
        "const box = arguments[0].getBoundingClientRect();"
        "arguments[0].dispatchEvent(new MouseEvent('click', {clientX: box.left + box.width * 0.75,"
        " clientY: box.top + 5, bubbles: true}));",
        lane,
    )
    settled(page, round(0.75 * FRAMES - 0.5))
