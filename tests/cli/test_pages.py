"""The report as a person uses it: opened from the disk in a browser, with mouse and keyboard."""

import io
import json
import time

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from cli.pages import write_pages
from cli.run import main
from tests.cli import browser as chromium
from tests.footage import write_clip

SIZE = (120, 160)
FRAMES = 24
HOSTILE = "<img src=x onerror=alert(1)>"
QUOTES = "q\"uo'te & [/red] #50% {{ 7*7 }}"
SCRIPT = "a<script>alert(1)<"  # a name may hold anything but a slash; see the test of clip.json
COLUMNS = {"clip": 1, "frames": 2, "before": 3, "after": 4}


@pytest.fixture(scope="module")
def driver():
    driver = chromium.start()
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Results of a run of the command: five clips, one of which fails."""
    root = tmp_path_factory.mktemp("library")
    write_clip(root, "calm", FRAMES, size=SIZE, cut=14)
    for k, name in enumerate((HOSTILE, QUOTES, SCRIPT)):
        write_clip(root, name, 6 + k)
    write_clip(root, "<b>lost", 5)
    for path in (root / "masks" / "<b>lost").iterdir():
        path.write_bytes(b"no picture")
    status = main(
        [
            *(str(root / "footage"), "--masks", str(root / "masks"), "--out", str(root / "out")),
            *("--executor", "inline", "--workers", "1", "--set", "ingest.cuts=[]"),
        ]
    )
    assert status == 1
    return root / "out"


@pytest.fixture
def index(driver, out):
    return visit(driver, out / "report" / "index.html")


@pytest.fixture
def page(driver, out):
    return visit(driver, page_of(out, "calm"), "#0")


def page_of(out, name):
    """Return the page whose data are of this clip."""
    for path in sorted((out / "report").glob("*.html")):
        if path.name != "index.html":
            text = path.read_text().split('id="clip">')[1].split("</script>")[0]
            if json.loads(text)["clip"] == name:
                return path
    raise AssertionError(f"no page of {name}")


def visit(driver, path, anchor=""):
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(path.as_uri() + anchor)
    if path.name != "index.html":
        until(driver, "film.readyState >= 2 && !film.seeking && !!at('flicker')._fullLayout")
    return driver


def until(driver, condition, seconds=10):
    """Wait until an expression is true in the page."""
    end = time.monotonic() + seconds
    while not driver.execute_script(f"return {condition}"):
        assert time.monotonic() < end, f"never: {condition}"
        time.sleep(0.02)


def settled(driver, frame):
    until(driver, f"shown === {frame} && !film.seeking && film.readyState >= 2")
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def press(driver, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def set_range(driver, name, value):
    """Move a slider as a hand does: the value, then the event."""
    driver.execute_script(
        "const it = document.getElementById(arguments[0]); it.value = arguments[1];"
        "it.dispatchEvent(new Event('input', {bubbles: true}));",
        name, str(value),
    )  # fmt: skip


def by_id(driver, name):
    return driver.find_element("id", name)


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


def severe(driver):
    return [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]


def column(driver, name):
    cells = driver.find_elements("css selector", f"#clips tbody td:nth-child({COLUMNS[name] + 1})")
    return [cell.get_attribute("data-v") for cell in cells]


def sort_by(driver, name):
    heads = driver.find_elements("css selector", "#clips th")
    heads[COLUMNS[name]].find_element("tag name", "button").click()
    return heads[COLUMNS[name]].get_attribute("aria-sort")


def test_every_page_opens_from_the_disk_without_an_error_or_a_request_elsewhere(driver, out):
    pages = sorted((out / "report").glob("*.html"))
    assert len(pages) == 5
    for path in pages:
        visit(driver, path)
        driver.execute_script("scrollTo(0, document.body.scrollHeight)")
        until(driver, "[...document.images].every((one) => one.complete && one.naturalWidth > 0)")
        names = driver.execute_script(
            "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        )
        assert all(name.startswith(("file:", "data:", "blob:")) for name in names)
        assert severe(driver) == []


def test_the_first_page_says_what_failed_and_what_the_scores_are(index, out):
    text = index.find_element("tag name", "main").text
    assert "<b>lost" in text
    assert "1 failed" in index.find_element("tag name", "header").text
    failed = json.loads((out / "run.json").read_text())["failures"]["<b>lost"]
    assert failed in by_id(index, "failed").text
    scores = json.loads((out / "metrics.json").read_text())["clips"]
    rows = dict(zip(column(index, "clip"), column(index, "after"), strict=True))
    assert {n: float(v) for n, v in rows.items()} == {
        n: s["output"]["E_cons"] for n, s in scores.items()
    }
    assert column(index, "after") == sorted(column(index, "after"), key=float, reverse=True)


def test_a_click_on_a_head_sorts_and_another_one_turns_it_round(index):
    names = column(index, "clip")
    assert sort_by(index, "frames") == "descending"
    assert column(index, "frames") == ["24", "8", "7", "6"]
    assert sort_by(index, "frames") == "ascending"
    assert column(index, "frames") == ["6", "7", "8", "24"]
    assert sort_by(index, "clip") == "ascending"
    assert sorted(column(index, "clip")) == sorted(names)
    assert sort_by(index, "clip") == "descending"
    assert len(index.find_elements("css selector", "#clips th[aria-sort]")) == 1


def test_the_keyboard_reaches_the_heads_and_the_focus_is_seen(index):
    from selenium.webdriver.common.keys import Keys

    index.execute_script("document.querySelector('#clips th.n button').focus()")
    press(index, Keys.SPACE)
    assert index.find_element("css selector", "#clips th[aria-sort]").text.startswith("frames")
    press(index, Keys.TAB)
    style = index.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert style != "none"


def test_names_of_strangers_are_only_text(driver, out):
    for name in (HOSTILE, QUOTES, SCRIPT):
        visit(driver, out / "report" / "index.html")
        link = next(a for a in driver.find_elements("css selector", ".name a") if a.text == name)
        link.click()
        until(driver, "film.readyState >= 2")
        assert name in driver.find_element("tag name", "h1").text
        assert driver.title == name
        assert driver.find_elements("css selector", "img[onerror], h1 :not(a)") == []
        assert severe(driver) == []
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        _ = driver.switch_to.alert.text


def test_a_script_that_ends_in_the_data_of_a_page_ends_nothing(driver, out, tmp_path):
    made_library(tmp_path, 1, name="x</script><script>document.title = 'owned'</script>")
    path = next(p for p in (tmp_path / "report").glob("*.html") if p.name != "index.html")
    driver.get(path.as_uri())
    assert "owned" not in {driver.title, driver.execute_script("return document.title")}
    assert driver.execute_script("return clip.clip").startswith("x</script>")


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


def test_a_moment_on_the_first_page_opens_its_clip_at_its_frame(index):
    link = index.find_element("css selector", ".moments a")
    frame = int(link.get_attribute("href").split("#")[1])
    link.click()
    until(index, "typeof film === 'object' && film.readyState >= 2")
    settled(index, frame)


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


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_window(driver, out, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for path in sorted((out / "report").glob("*.html")):
        visit(driver, path)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def made_library(out, clips, name="clip {:03d}"):
    """Write what a run of many clips leaves, without the films, and the pages of it."""
    grey = cv2.imencode(".jpg", np.full((90, 160, 3), 90, np.uint8))[1].tobytes()
    spent = {"hits": 0, "computed": 1, "seconds": 1.5, "bytes": 0}
    curve = {"frame": list(range(300)), "value": [1.0] * 300}
    area = {"area": [900] * 300, "mean": 900.0, "jump": 0.1}
    names = [name.format(k) for k in range(clips)]
    for k, clip in enumerate(names):
        folder = out / clip / "report"
        folder.mkdir(parents=True)
        for picture in ("thumb", "strip-000007", "flow", "seen", "slice"):
            (folder / f"{picture}.jpg").write_bytes(grey)
        part = {"E_cons": 9.0, "E_smooth_mean": 0.1}
        scores = {
            "frames": 300, "input": part, "output": part | {"E_cons": k / 10},
            "iou_with_input": [0.9] * 300, "warnings": [], "holes": [], "changed_frames": [3],
        }  # fmt: skip
        (out / clip / "metrics.json").write_text(json.dumps(scores))
        text = {
            "clip": clip, "frames": 300, "rate": 24.0, "shots": [[0, 300]], "every": 1,
            "flicker": {"before": curve, "after": curve}, "pane": [160, 90],
            "flows": [{"frame": 7, "flow": "flow.jpg", "seen": "seen.jpg", "strongest": 2.0}],
            "moments": [{"frame": 7, "strip": "strip-000007.jpg", "value": k / 10}],
            "slices": {"every": 1, "rows": [5], "before": ["slice.jpg"], "after": ["slice.jpg"]},
            "classes": [{"label": 1, "colour": [128, 0, 0], "before": area, "after": area}],
        }  # fmt: skip
        (folder / "clip.json").write_text(json.dumps(text))
    done = {n: {"done": True, "stages": {"flow": spent, "report": spent}} for n in names}
    run = {"clips": done, "failures": {}, "seconds": 99.0}
    (out / "run.json").write_text(json.dumps(run))
    return write_pages(out)


@pytest.mark.slow
def test_five_hundred_clips_open_in_less_than_two_seconds(driver, tmp_path):
    began = time.monotonic()
    page = made_library(tmp_path, 500)
    assert time.monotonic() - began < 20
    driver.get("about:blank")
    began = time.monotonic()
    driver.get(page.as_uri())
    assert time.monotonic() - began < 2
    assert len(column(driver, "clip")) == 500
    moments = driver.find_elements("css selector", ".moments a span")
    assert len(moments) == 20
    assert moments[0].text == "clip 499, frame 7: 49.90"
    assert page.stat().st_size < 1_000_000


def test_the_page_of_a_clip_that_is_gone_goes(tmp_path):
    made_library(tmp_path, 3)
    run = json.loads((tmp_path / "run.json").read_text())
    del run["clips"]["clip 001"]
    (tmp_path / "run.json").write_text(json.dumps(run))
    write_pages(tmp_path)
    assert len(list((tmp_path / "report").glob("*.html"))) == 3


def test_a_clip_without_a_report_has_a_row_and_no_page(tmp_path):
    made_library(tmp_path, 2)
    (tmp_path / "clip 001" / "report" / "clip.json").unlink()
    text = write_pages(tmp_path).read_text()
    assert "clip 001" in text
    assert len(list((tmp_path / "report").glob("clip-001*"))) == 0


def test_a_clip_that_could_not_be_measured_comes_after_a_perfect_one(tmp_path):
    made_library(tmp_path, 3)
    for clip, left in (("clip 000", None), ("clip 001", 0.0)):
        path = tmp_path / clip / "metrics.json"
        scores = json.loads(path.read_text())
        scores["output"]["E_cons"] = left
        path.write_text(json.dumps(scores))
    text = write_pages(tmp_path).read_text()
    order = sorted(range(3), key=lambda k: text.index(f'data-v="clip 00{k}"'))
    assert order == [2, 1, 0]


def test_names_that_are_no_utf8_can_be_written(tmp_path):
    made_library(tmp_path, 1, name=b"bad\xff".decode("utf-8", "surrogateescape"))
    assert "bad\ufffd" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "../bad%FF/report/thumb.jpg" in (tmp_path / "report" / "index.html").read_text()


def test_names_that_look_like_markup_stop_neither_the_table_nor_the_pages(out):
    text = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "[/red]" in text
    assert HOSTILE not in text
