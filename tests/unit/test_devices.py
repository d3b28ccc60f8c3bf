from __future__ import annotations

import pytest

from tracker.core.devices import device_of

APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {APPLE}"
IPAD = f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {APPLE}"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE}"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
ANDROID = "Mozilla/5.0 (Linux; Android 14; {}) AppleWebKit/537.36 (KHTML, like Gecko) {}"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (f"{IPHONE} Mobile/15E148", "mobile/iOS/Apple Mail"),
        (f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", "mobile/iOS/Safari"),
        (f"{IPHONE} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1", "mobile/iOS/Chrome"),
        (f"{IPHONE} FxiOS/128.0 Mobile/15E148 Safari/605.1.15", "mobile/iOS/Firefox"),
        (f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/460.0]", "mobile/iOS/Facebook"),
        (f"{IPHONE} Mobile/15E148 Instagram 330.0.0.25.111 (iPhone14,5)", "mobile/iOS/Instagram"),
        (f"{IPAD} Mobile/15E148", "tablet/iOS/Apple Mail"),
        (f"{IPAD} Version/17.5 Mobile/15E148 Safari/604.1", "tablet/iOS/Safari"),
        (MAC, "desktop/macOS/Apple Mail"),
        (f"{MAC} Version/17.5 Safari/605.1.15", "desktop/macOS/Safari"),
        (f"{WINDOWS} {CHROME}", "desktop/Windows/Chrome"),
        (f"{WINDOWS} {CHROME} Edg/126.0.0.0", "desktop/Windows/Edge"),
        (f"{WINDOWS} {CHROME} OPR/112.0.0.0", "desktop/Windows/Opera"),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)", "desktop/Windows/Outlook"),
        (
            "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Trident/7.0; Microsoft Outlook 16.0.5; ms-office)",
            "desktop/Windows/Outlook",
        ),
        ("Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Thunderbird/128.3.0", "desktop/Windows/Thunderbird"),
        ("Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko", "desktop/Windows/Internet Explorer"),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "desktop/Linux/Firefox"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME}", "desktop/ChromeOS/Chrome"),
        (ANDROID.format("Pixel 8", "Chrome/126.0.0.0 Mobile Safari/537.36"), "mobile/Android/Chrome"),
        (ANDROID.format("CUBOT X30", "Chrome/126.0.0.0 Mobile Safari/537.36"), "mobile/Android/Chrome"),
        (ANDROID.format("SM-X710", "Chrome/126.0.0.0 Safari/537.36"), "tablet/Android/Chrome"),
        (
            ANDROID.format("Pixel 8; wv", "Version/4.0 Chrome/126.0.0.0 Mobile Safari/537.36"),
            "mobile/Android/Android app",
        ),
        (
            ANDROID.format("SAMSUNG SM-S918B", "SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36"),
            "mobile/Android/Samsung Internet",
        ),
        ("Outlook-iOS/709.2226530.prod.iphone (3.34.0)", "mobile/iOS/Outlook mobile"),
        ("Mozilla/5.0", "other/other/other"),
        ("curl/8.5.0", "other/other/other"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "other/other/other"),
        ("", "other/other/other"),
    ],
)
def test_known_clients(agent: str, device: str) -> None:
    assert device_of(agent) == device
