#!/usr/bin/env python3
"""Draws the demo catalogue's pictures into demo/uploads/images.

    python3 -m venv .venv && .venv/bin/pip install pillow numpy
    .venv/bin/python demo/generate-images.py              # all pictures
    .venv/bin/python demo/generate-images.py rajkanda     # those whose name contains a word

The table below describes every picture; landscape.py paints them. The same
scripts always draw the same pictures, and adding a scene changes no other.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True

from landscape import Light, Peaks, Scene, paint

OUT = Path(__file__).resolve().parent / "uploads" / "images"
JPEG_QUALITY = 80
JPEG_BYTES_MAX = 120_000

# --- the pictures ------------------------------------------------------------

ALPENGLOW = dict(rock_lit="#b98a8c", rock_shade="#544a72", snow_lit="#ffd9bd", snow_shade="#8f8fc4", haze="#d9b6c4")
NOON = dict(rock_lit="#9a9bab", rock_shade="#4a587c", snow_lit="#ffffff", snow_shade="#9fb9e2", haze="#cfe2f2")
MOONLIT = dict(rock_lit="#4f6290", rock_shade="#1b2750", snow_lit="#c9d8f5", snow_shade="#4b64a3", haze="#2d4379")

SCENES = {
    # Hosamale: wet, green, grey-blue.
    "hosamale-mist-ridge-1": Scene(
        sky=["#7f9fa6", "#b4cac8", "#e6ece2"], horizon=0.6, clouds=0.9, cloud_lit="#f4f7f4", cloud_shade="#9db3b8",
        ridges=7, ridge_top=0.48, ridge_low=0.90, ridge_height=0.26, far="#a5c0bd", near="#123a2c", mist="#eef3ee",
        mist_amount=1.0, thick_mist=True, trees="broadleaf", trees_from=0.62, tree_size=0.075,
        ground="#3f7a35", ground_at=0.88, ground_tilt=-0.08, cover="grass", walkers=(0.30, 0.37, 0.44), walker_size=0.085),
    "hosamale-mist-ridge-2": Scene(
        sky=["#6d8b90", "#a9c1bd", "#dfe9df"], horizon=0.55, clouds=0.7, ridges=6, ridge_top=0.46, ridge_low=0.97,
        ridge_height=0.24, valley=0.30, valley_x=0.52, style="mesa", far="#9dbbb2", near="#0f3326", mist="#eef4ee", mist_amount=0.95,
        thick_mist=True, trees="broadleaf", trees_from=0.55, tree_size=0.11, falls={1: 0.47, 2: 0.68}, rain=0.7),
    # Rajkanda: a fort in the first light.
    "rajkanda-fort-sunrise-1": Scene(
        sky=["#2b3566", "#8a5a86", "#f08a5d", "#ffd08a"], horizon=0.62, light=Light(0.66, 0.40, 0.062, "#fff3cf", "#ffb066", 0.34),
        clouds=0.35, cloud_lit="#ffc79a", cloud_shade="#8a5f88", ridges=6, ridge_top=0.66, ridge_low=0.97, ridge_height=0.20, style="mesa",
        far="#c9868a", near="#231c36", mist="#f9c193", mist_amount=0.8, rim="#ffb27a", fort=(3, 0.30), birds=(9, 0.52, 0.27, "#3a2b4a")),
    "rajkanda-fort-sunrise-2": Scene(
        sky=["#14183f", "#3c3470", "#b5648a", "#ffb37d"], horizon=0.66, stars=260, clouds=0.25, cloud_lit="#ff9f8a", cloud_shade="#4d3c78",
        ridges=6, ridge_top=0.66, ridge_low=0.95, ridge_height=0.16, style="mesa", far="#a5618a", near="#191634", mist="#f2a18d",
        mist_amount=0.75, rim="#ff9d80", ground="#2c2140", ground_at=0.90, cover="grass", blades=2400,
        walkers=(0.58, 0.64, 0.71, 0.76), walker_size=0.11, walker_colour="#0d0b1c"),
    # Kurinjadi: purple bloom on open grass.
    "kurinjadi-grassland-loop-1": Scene(
        sky=["#5fa3d4", "#a6d0e8", "#f2efdc"], horizon=0.58, clouds=0.55, cloud_shade="#b9cbe0", ridges=5, ridge_top=0.56, ridge_low=0.82,
        ridge_height=0.20, far="#8fb3cf", near="#5f8f4d", mist="#e3eef0", mist_amount=0.7, trees="broadleaf", trees_from=0.9, tree_size=0.03,
        tree_cover=0.35, ground="#6f9a42", ground_at=0.76, ground_tilt=0.06, cover="flowers", blades=4200,
        petals=("#7a5fc2", "#9a7bd8", "#6a4fb0", "#b79be6")),
    "kurinjadi-grassland-loop-2": Scene(
        sky=["#f0b86a", "#f7d59b", "#fdf0d0"], horizon=0.55, light=Light(0.24, 0.30, 0.05, "#fffbe8", "#ffe2a0", 0.35), ridges=6, ridge_top=0.52,
        ridge_low=0.78, ridge_height=0.19, far="#d9c08d", near="#5b7a34", mist="#fbe9c0", mist_amount=0.85, rim="#fff0b8",
        trees="broadleaf", trees_from=0.8, tree_size=0.045, tree_cover=0.5, ground="#6f9436", ground_at=0.76, cover="terraces",
        walkers=(0.66, 0.72), walker_size=0.08, walker_colour="#2a3018"),
    # Devthal: meadow below snow.
    "devthal-meadow-trail-1": Scene(
        sky=["#3f87c9", "#8cc1e8", "#dff0f6"], horizon=0.6, clouds=0.4, light=Light(0.18, 0.16, 0.035, "#fffdf2", "#fff4d0", 0.2),
        peaks=Peaks([(0.60, 0.30), (0.62, 0.34)], **NOON, summit=(0.62, 0.10)), style="cone", ridges=4, ridge_top=0.66, ridge_low=0.84,
        ridge_height=0.16, far="#7aa0a8", near="#2e5a36", mist="#dcebf0", mist_amount=0.6, trees="conifer", trees_from=0.3, tree_size=0.085,
        tree_cover=0.75, ground="#86b04a", ground_at=0.83, ground_tilt=-0.05, cover="flowers", petals=("#f6d04a", "#ffffff", "#e0719a")),
    "devthal-meadow-trail-2": Scene(
        sky=["#2f4a8a", "#8b7fb8", "#f2a994", "#ffdcb0"], horizon=0.6, clouds=0.3, cloud_lit="#ffd0b8", cloud_shade="#8a7bb0",
        peaks=Peaks([(0.60, 0.30), (0.64, 0.32)], **ALPENGLOW, summit=(0.35, 0.12)), style="cone", ridges=4, ridge_top=0.70, ridge_low=0.86,
        ridge_height=0.14, far="#8a7a9c", near="#2a3350", mist="#e8b9b0", mist_amount=0.6, rim="#ffb89a", trees="conifer", trees_from=0.4,
        tree_size=0.075, tree_cover=0.7, ground="#4d6a45", ground_at=0.84, cover="grass",
        tents=((0.56, "#f08a3c"), (0.67, "#e5533d"), (0.78, "#f2b63c")), tent_glow=0.55),
    # Sona Dhar: a pass between rock walls.
    "sona-dhar-pass-crossing-1": Scene(
        sky=["#1f4f96", "#5f9bd6", "#cfe6f5"], horizon=0.62, clouds=0.25, light=Light(0.82, 0.18, 0.03, "#fffef4", "#fff3cf", 0.18),
        peaks=Peaks([(0.62, 0.36), (0.70, 0.42)], **{**NOON, "rock_lit": "#c29f78", "rock_shade": "#5d4f5e"}, snow=0.13, air=0.2, summit=(0.30, 0.14)),
        style="sharp", near_style="sharp", ridges=3, ridge_top=0.82, ridge_low=0.94, ridge_height=0.20, valley=0.22, valley_x=0.55, far="#9a8b86", near="#4b4148",
        mist="#dfe8f0", mist_amount=0.55, rim="#ffdcae", ground="#e6edf5", ground_at=0.88, ground_tilt=-0.10, cover="snow",
        walkers=(0.44, 0.50, 0.56, 0.62, 0.68), walker_size=0.07),
    "sona-dhar-pass-crossing-2": Scene(
        sky=["#4a7fb8", "#93bfe0", "#eef4f2"], horizon=0.55, clouds=0.5, peaks=Peaks([(0.56, 0.26), (0.60, 0.24)], **NOON),
        style="cone", near_style="rolling", ridges=5, ridge_top=0.62, ridge_low=0.90, ridge_height=0.22, valley=0.38, valley_x=0.5, far="#8aa8b0", near="#3f6a3c",
        mist="#dfeaea", mist_amount=0.65, trees="conifer", trees_from=0.45, tree_size=0.10, tree_cover=0.7,
        river=((0.51, 0.70), 0.56, "#8fc6d6")),
    # Himdhara: a frozen lake and a winter moon.
    "himdhara-frozen-lake-1": Scene(
        sky=["#0b1438", "#1d3270", "#4a6fb0"], horizon=0.62, stars=700, light=Light(0.74, 0.17, 0.042, "#f6f4e6", "#b9cdf5", 0.22),
        peaks=Peaks([(0.58, 0.26), (0.62, 0.30)], **MOONLIT, snow=0.24, summit=(0.40, 0.12)), style="cone", ridges=3, ridge_top=0.62, ridge_low=0.68,
        ridge_height=0.09, far="#3b5590", near="#16254f", mist="#7d9bd0", mist_amount=0.7, rim="#b8d0ff", trees="conifer", trees_from=0.3,
        tree_size=0.06, tree_cover=0.85, lake=(0.68, "#8fb3e0", 0.93), ground="#a9c1e6", ground_at=0.91, cover="snow",
        tents=((0.24, "#f0913c"), (0.33, "#e7673d")), tent_glow=0.95),
    "himdhara-frozen-lake-2": Scene(
        sky=["#8fb4d9", "#c3d9ec", "#f4f4f2"], horizon=0.6, clouds=0.6, cloud_shade="#b6c6dc", peaks=Peaks([(0.58, 0.28)], **NOON, snow=0.3, air=0.45), style="cone",
        ridges=5, ridge_top=0.62, ridge_low=0.88, ridge_height=0.14, far="#b7cbe0", near="#3e5a72", mist="#f2f6fa", mist_amount=1.0, thick_mist=True,
        trees="conifer", trees_from=0.2, tree_size=0.15, tree_cover=0.7, ground="#eef3fa", ground_at=0.87, ground_tilt=0.05, cover="snow",
        walkers=(0.38, 0.44, 0.50), walker_size=0.085, walker_colour="#27303e", snowfall=0.9),
    # Kang Tsering: a great peak.
    "kang-tsering-peak-expedition-1": Scene(
        sky=["#16296a", "#4a5fae", "#e08f8a", "#ffcf9a"], horizon=0.66, clouds=0.15, cloud_lit="#ffc0a0", cloud_shade="#6a60a0",
        peaks=Peaks([(0.66, 0.26), (0.78, 0.24)], **{**ALPENGLOW, "rock_lit": "#c4876f", "rock_shade": "#43406b"}, snow=0.34, air=0.18, summit=(0.55, 0.40)),
        style="sharp", near_style="sharp", ridges=3, ridge_top=0.86, ridge_low=0.98, ridge_height=0.14, far="#6d628e", near="#1d2044", mist="#c99ab0", mist_amount=0.6,
        rim="#ffb48a", tents=((0.25, "#f2b134"), (0.33, "#e8623a")), tent_glow=0.8, tent_size=0.032),
    "kang-tsering-peak-expedition-2": Scene(
        sky=["#070b24", "#122050", "#2f4c8c"], horizon=0.66, stars=1300, milky_way=True,
        peaks=Peaks([(0.66, 0.24), (0.76, 0.26)], **MOONLIT, snow=0.32, air=0.15, summit=(0.70, 0.26)), style="sharp", near_style="sharp", ridges=2, ridge_top=0.88,
        ridge_low=0.97, ridge_height=0.11, far="#22346a", near="#0b1230", mist="#41609f", mist_amount=0.5, rim="#86a6ee",
        ground="#1a2750", ground_at=0.90, cover="rocks", tents=((0.20, "#f29a34"), (0.30, "#f2b83c"), (0.39, "#e8623a")), tent_glow=1.0, tent_size=0.04),
    # Nilsar: evening on the water.
    "nilsar-lakeside-weekend-1": Scene(
        sky=["#243a72", "#7a64a0", "#f0896b", "#ffd29a"], horizon=0.56, light=Light(0.42, 0.45, 0.048, "#fff4d6", "#ffb877", 0.32), clouds=0.45,
        cloud_lit="#ffc3a0", cloud_shade="#7d6a9c", ridges=4, ridge_top=0.57, ridge_low=0.64, ridge_height=0.14, far="#a5738f", near="#33284f", mist="#f7b79a",
        mist_amount=0.7, rim="#ffb98c", trees="broadleaf", trees_from=0.7, tree_size=0.03, lake=(0.63, "#4a3d70", 0.55), boat=(0.64, 0.76, "#1c1530"),
        ground="#2b2a3c", ground_at=0.91, cover="grass", blades=2600, tents=((0.15, "#f0913c"), (0.25, "#e5533d")), tent_glow=0.85),
    "nilsar-lakeside-weekend-2": Scene(
        sky=["#0f1a42", "#26386e", "#5c6aa0"], horizon=0.58, stars=620, milky_way=True, ridges=4, ridge_top=0.58, ridge_low=0.66, ridge_height=0.13,
        far="#45558c", near="#141d3c", mist="#7a86b8", mist_amount=0.6, trees="broadleaf", trees_from=0.6, tree_size=0.035, lake=(0.65, "#1c2a56", 0.7),
        ground="#2a2f30", ground_at=0.83, cover="grass", fire=0.50, tents=((0.24, "#f0a03c"), (0.72, "#e5633d"), (0.83, "#d9b13c")), tent_glow=0.75, tent_size=0.055),
    # Karvandi: a gorge in the rains.
    "karvandi-gorge-traverse-1": Scene(
        sky=["#51686f", "#8ea6a3", "#cfdcd0"], horizon=0.5, clouds=0.9, cloud_lit="#dfe7e2", cloud_shade="#6d868b", style="mesa", ridges=6, ridge_top=0.46,
        ridge_low=1.0, ridge_height=0.28, valley=0.45, valley_x=0.46, far="#86a39a", near="#10291f", mist="#dbe7df", mist_amount=0.9, thick_mist=True,
        trees="broadleaf", trees_from=0.6, tree_size=0.09, falls={0: 0.46, 1: 0.30, 2: 0.63}, rain=1.0),
    "karvandi-gorge-traverse-2": Scene(
        sky=["#7e97a0", "#b9ccc6", "#ecf0e0"], horizon=0.5, clouds=0.6, style="mesa", ridges=5, ridge_top=0.5, ridge_low=0.9, ridge_height=0.24,
        valley=0.30, valley_x=0.55, far="#94b09c", near="#1d4a2c", mist="#e9f0e4", mist_amount=0.8, trees="broadleaf", trees_from=0.5, tree_size=0.08,
        river=((0.55, 0.64), 0.45, "#a8c4c0"), falls={1: 0.555}),
    # Lungma: high, dry and bright.
    "lungma-valley-homestay-walk-1": Scene(
        sky=["#1f63b4", "#5fa0dc", "#d6e8ee"], horizon=0.6, clouds=0.2, peaks=Peaks([(0.56, 0.24)], **{**NOON, "rock_lit": "#b59c84", "rock_shade": "#6f6272"}, snow=0.12),
        style="cone", near_style="cone", ridges=4, ridge_top=0.64, ridge_low=0.82, ridge_height=0.20, far="#b39a86", near="#8a6a4c", mist="#e9dfd2", mist_amount=0.5, rim="#ffe9c8",
        ground="#b08d5e", ground_at=0.80, ground_tilt=-0.06, cover="rocks", huts=(0.60, 0.67, 0.73, 0.80), flags=((0.0, 0.16), (0.62, 0.40))),
    "lungma-valley-homestay-walk-2": Scene(
        sky=["#3472b8", "#82b4de", "#efe6d4"], horizon=0.55, clouds=0.3, style="cone", near_style="dune", ridges=6, ridge_top=0.54, ridge_low=0.88, ridge_height=0.26,
        valley=0.28, valley_x=0.48, far="#c0a898", near="#8f6c48", mist="#efe2d0", mist_amount=0.55, rim="#ffe6c0", river=((0.48, 0.66), 0.52, "#6fb0b4"),
        ),
    # The four regions.
    "region-sahyadri-crest": Scene(
        sky=["#5d8fb0", "#a9cbd6", "#f4ecd2"], horizon=0.55, clouds=0.6, style="mesa", ridges=7, ridge_top=0.50, ridge_low=0.94, ridge_height=0.24, far="#93b4b8",
        near="#1c4a2c", mist="#eef0de", mist_amount=0.85, rim="#fff2c4", trees="broadleaf", trees_from=0.8, tree_size=0.05, birds=(8, 0.70, 0.22, "#2f4a50")),
    "region-malenadu-highlands": Scene(
        sky=["#e59a5c", "#f4c58a", "#fbe8c4"], horizon=0.55, light=Light(0.70, 0.28, 0.055, "#fffae6", "#ffd48a", 0.34), ridges=8, ridge_top=0.46, ridge_low=0.94,
        ridge_height=0.22, far="#d8b48c", near="#1f3d26", mist="#fae3ba", mist_amount=0.95, rim="#ffe0a0", trees="broadleaf", trees_from=0.7, tree_size=0.08),
    "region-uttarakhand-himalaya": Scene(
        sky=["#3a5aa0", "#9a98cc", "#f5bfa8", "#ffe6c4"], horizon=0.58, peaks=Peaks([(0.54, 0.24), (0.58, 0.30), (0.62, 0.26)], **ALPENGLOW, summit=None, snow=0.24),
        style="cone", ridges=5, ridge_top=0.66, ridge_low=0.94, ridge_height=0.18, far="#98819f", near="#1c2a40", mist="#efc4b8", mist_amount=0.85, rim="#ffc9a6",
        trees="conifer", trees_from=0.5, tree_size=0.11, tree_cover=0.8),
    "region-himachal-high-country": Scene(
        sky=["#1a56a8", "#5c9cd8", "#d8eaf0"], horizon=0.58, clouds=0.3, light=Light(0.86, 0.16, 0.03, "#ffffff", "#fff3d0", 0.16),
        peaks=Peaks([(0.54, 0.26), (0.58, 0.28)], **{**NOON, "rock_lit": "#c4a684", "rock_shade": "#66586a"}, snow=0.16, summit=(0.25, 0.10)), style="cone", ridges=3,
        ridge_top=0.62, ridge_low=0.68, ridge_height=0.12, far="#b09a88", near="#7a6048", mist="#e6ded2", mist_amount=0.5, rim="#ffe6c4", near_style="cone",
        lake=(0.67, "#2c7f9c", 0.72), ground="#a58458", ground_at=0.92, cover="rocks"),
    # The three regions of the journal.
    "journal-western-ghats": Scene(
        sky=["#4f7f86", "#93b9b2", "#e8edda"], horizon=0.56, clouds=0.7, ridges=8, ridge_top=0.44, ridge_low=0.95, ridge_height=0.2, far="#9cc0b4", near="#0e3a2a",
        mist="#edf3e6", mist_amount=1.0, thick_mist=True, trees="broadleaf", trees_from=0.5, tree_size=0.10, birds=(11, 0.35, 0.2, "#2a4a4a")),
    "journal-himalaya": Scene(
        sky=["#2d78c2", "#84bce6", "#e4f0f4"], horizon=0.58, clouds=0.45, peaks=Peaks([(0.52, 0.24), (0.58, 0.36)], **NOON, snow=0.26, summit=(0.48, 0.12)), style="cone", ridges=4,
        ridge_top=0.64, ridge_low=0.92, ridge_height=0.16, far="#8fb0bc", near="#173a34", mist="#dcebf2", mist_amount=0.8, trees="conifer", trees_from=0.3, tree_size=0.13, tree_cover=0.75),
    "journal-trans-himalaya": Scene(
        sky=["#22418c", "#6f76b8", "#f0a988", "#ffdcae"], horizon=0.6, light=Light(0.30, 0.50, 0.05, "#fff2d0", "#ffb070", 0.3), style="cone", near_style="dune", ridges=6,
        ridge_top=0.60, ridge_low=0.94, ridge_height=0.24, far="#c08a86", near="#3c2536", mist="#f7c09a", mist_amount=0.7, rim="#ffbf90", flags=((0.40, 0.20), (1.02, 0.30))),
    # The seven articles.
    "journal-leeches-rain": Scene(
        sky=["#5a7a74", "#9cb8a8", "#dfe8d4"], horizon=0.5, clouds=0.5, ridges=6, ridge_top=0.42, ridge_low=1.0, ridge_height=0.2, far="#9dbda6", near="#0c2c1c", mist="#e4eee0",
        mist_amount=1.0, thick_mist=True, trees="broadleaf", trees_from=0.25, tree_size=0.24, tree_cover=0.85, rain=1.1),
    "journal-altitude": Scene(
        sky=["#123a86", "#4a86cc", "#cfe4f2"], horizon=0.62, peaks=Peaks([(0.58, 0.26), (0.66, 0.36)], **NOON, snow=0.28, air=0.2, summit=(0.42, 0.20)), ridges=2, style="sharp", near_style="cone",
        ridge_top=0.80, ridge_low=0.90, ridge_height=0.12, far="#8a93aa", near="#4a4a58", mist="#dfe9f4", mist_amount=0.5, ground="#6d6a70", ground_at=0.88, cover="rocks",
        ground_tilt=-0.06, walkers=(0.60, 0.66, 0.72), walker_size=0.09),
    "journal-rucksack": Scene(
        sky=["#f2a65a", "#f8cd8f", "#fdf0d4"], horizon=0.6, light=Light(0.5, 0.40, 0.085, "#fff9e6", "#ffd28a", 0.3), style="cone", ridges=6, ridge_top=0.62, ridge_low=0.86, ridge_height=0.16,
        far="#e0ac7c", near="#54402f", mist="#fbdcae", mist_amount=0.8, rim="#ffe2a4", ground="#4a3a26", ground_at=0.86, cover="grass", walkers=(0.50,), walker_size=0.20, walker_colour="#231a14"),
    "journal-fort-walls": Scene(
        sky=["#3c5f9c", "#8fb0d4", "#f6e2bc"], horizon=0.58, clouds=0.5, light=Light(0.20, 0.34, 0.045, "#fffbe6", "#ffe4a8", 0.28), style="mesa", ridges=5, ridge_top=0.60, ridge_low=0.95,
        ridge_height=0.26, far="#9fb2b8", near="#3a4a26", mist="#f4e8c8", mist_amount=0.7, rim="#fff0c0", fort=(2, 0.62), birds=(7, 0.42, 0.22, "#3c4a60")),
    "journal-homestay": Scene(
        sky=["#152a66", "#4a5aa0", "#d88f8c", "#f7c99c"], horizon=0.6, stars=160, peaks=Peaks([(0.60, 0.28)], **ALPENGLOW, snow=0.2), style="cone", near_style="cone", ridges=4, ridge_top=0.68,
        ridge_low=0.82, ridge_height=0.16, far="#8a708e", near="#3a2c40", mist="#d8a8a4", mist_amount=0.6, rim="#ffb898", ground="#4e3c3a", ground_at=0.82, cover="rocks",
        huts=(0.30, 0.37, 0.43, 0.50, 0.58), hut_colour="#b59a94", hut_glow=1.0),
    "journal-leave-no-trace": Scene(
        sky=["#3f8f9c", "#92c8c4", "#f0f0d8"], horizon=0.55, style="cone", ridges=4, ridge_top=0.56, ridge_low=0.63, ridge_height=0.16, far="#8ab8b4", near="#1f5a4a", mist="#e6f0e4",
        mist_amount=0.75, trees="conifer", trees_from=0.4, tree_size=0.07, tree_cover=0.9, lake=(0.62, "#2a7a78", 0.82), ground="#5d8f4a", ground_at=0.90, cover="flowers",
        petals=("#ffffff", "#f4d35a")),
    "journal-winter-kit": Scene(
        sky=["#26356e", "#7480b8", "#d9bcd0"], horizon=0.6, light=Light(0.30, 0.22, 0.04, "#fdf8ea", "#d9d4f0", 0.2), peaks=Peaks([(0.60, 0.26)], **{**MOONLIT, "haze": "#8a8cc0"}, snow=0.3, air=0.35),
        style="cone", ridges=4, ridge_top=0.66, ridge_low=0.86, ridge_height=0.13, far="#8d90bc", near="#2a3560", mist="#dcd4e8", mist_amount=0.9, trees="conifer", trees_from=0.2,
        tree_size=0.13, tree_cover=0.6, ground="#d4d8ee", ground_at=0.86, cover="snow", tents=((0.62, "#f0913c"),), tent_glow=1.0, tent_size=0.06, snowfall=0.5),
}


def save(image, path):
    """Saves at the usual quality, or as much lower as the size limit asks."""
    for quality in range(JPEG_QUALITY, 40, -4):
        image.save(path, "JPEG", quality=quality, optimize=True, progressive=True)
        if path.stat().st_size <= JPEG_BYTES_MAX:
            return quality
    raise SystemExit(f"{path.name}: larger than {JPEG_BYTES_MAX} bytes at any quality")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    words = sys.argv[1:]
    for name, scene in SCENES.items():
        if words and not any(word in name for word in words):
            continue
        path = OUT / f"{name}.jpg"
        quality = save(paint(name, scene), path)
        print(f"{path.name}: {path.stat().st_size // 1024} KiB at quality {quality}")


if __name__ == "__main__":
    main()
