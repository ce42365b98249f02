"""Paints layered landscapes in the manner of travel posters.

A `Scene` says what is in a picture; `paint` draws it back to front: sky, light,
clouds, snow peaks, ridges, water, and what stands in the foreground. It paints
at one and a half times the final size and reduces the result, which smooths
every edge at once. The name of a scene seeds its random generator, so the same
name and scene always give the same picture. Which pictures there are, and where
they are kept, is not known here.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FINAL = (1200, 800)
SCALE = 1.5
W, H = int(FINAL[0] * SCALE), int(FINAL[1] * SCALE)

X = np.arange(W, dtype=np.float32)
YY, XX = np.mgrid[0:H, 0:W].astype(np.float32)


# --- colour and noise --------------------------------------------------------


def rgb(code):
    """'#rrggbb' as an array of three floats, 0 to 1."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32) / 255


def mix(a, b, t):
    return a + (b - a) * t


def smooth(low, high, value):
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def noise_line(rng, knots, xs=None):
    """Smooth value noise over the width, about -1 to 1, with so many knots across."""
    values = rng.uniform(-1, 1, knots + 4).astype(np.float32)
    pos = (X if xs is None else xs) / W * knots + 1
    i = np.clip(np.floor(pos).astype(int), 0, knots + 1)
    t = np.clip(pos - i, 0, 1)
    t = t * t * (3 - 2 * t)
    return values[i] * (1 - t) + values[i + 1] * t


def fractal_line(rng, knots, octaves, gain=0.5, sharp=False):
    """A sum of noise lines. `sharp` folds them, which makes pointed summits."""
    total, amplitude, norm = np.zeros(W, np.float32), 1.0, 0.0
    for _ in range(octaves):
        line = noise_line(rng, knots)
        if sharp:
            line = 1 - 2 * np.abs(line)
        total += amplitude * line
        norm += amplitude
        amplitude *= gain
        knots = int(knots * 2.1) + 1
    return total / norm


def noise_field(rng, cells_x, cells_y, octaves=4, gain=0.5):
    """Two-dimensional fractal noise, 0 to 1."""
    total, amplitude, norm = np.zeros((H, W), np.float32), 1.0, 0.0
    for _ in range(octaves):
        grid = rng.random((cells_y + 2, cells_x + 2)).astype(np.float32)
        layer = Image.fromarray(grid).resize((W, H), Image.BICUBIC)
        total += amplitude * np.asarray(layer)
        norm += amplitude
        amplitude *= gain
        cells_x, cells_y = cells_x * 2, cells_y * 2
    return np.clip(total / norm, 0, 1)


# --- the canvas --------------------------------------------------------------


class Canvas:
    """The picture while it is painted: an H x W x 3 array of floats."""

    def __init__(self, rng):
        self.rng = rng
        self.px = np.zeros((H, W, 3), np.float32)

    def blend(self, colour, alpha):
        """Lays a colour (one, or one for each pixel) over the picture."""
        a = np.clip(alpha, 0, 1)[..., None]
        self.px = self.px * (1 - a) + colour * a

    def add(self, colour, strength):
        """Adds light, keeping the highlights from clipping hard."""
        light = colour * np.clip(strength, 0, 1)[..., None]
        self.px = 1 - (1 - self.px) * (1 - light)


def shape_mask(draw_shapes, blur=0.0):
    """The coverage, 0 to 1, of whatever `draw_shapes` draws."""
    image = Image.new("L", (W, H), 0)
    draw_shapes(ImageDraw.Draw(image))
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(image, dtype=np.float32) / 255


# --- sky ---------------------------------------------------------------------


def paint_sky(canvas, stops, horizon):
    """A vertical gradient through the stops, the last of which lies on the horizon."""
    t = np.clip(YY[:, :1] / (H * horizon), 0, 1) * (len(stops) - 1)
    colours = np.stack([rgb(code) for code in stops])
    i = np.minimum(t.astype(int), len(stops) - 2)
    f = t - i
    f = f * f * (3 - 2 * f)
    canvas.px = np.repeat(mix(colours[i[:, 0]], colours[i[:, 0] + 1], f)[:, None, :], W, axis=1)


def paint_stars(canvas, count, band):
    rng = canvas.rng
    if band:
        along = (XX - W * 0.15) * 0.55 + (YY - H * 0.62)
        cloud = np.exp(-((along / (H * 0.17)) ** 2)) * noise_field(rng, 7, 6, 5)
        canvas.add(rgb("#8fa6dd"), cloud * 0.42 * (YY < H * 0.75))
    xs, ys = rng.uniform(0, W, count), rng.uniform(0, H * 0.62, count) * rng.random(count) ** 0.3
    sizes = 0.5 + 1.7 * rng.random(count) ** 6

    def stars(draw):
        for x, y, s in zip(xs, ys, sizes):
            draw.ellipse((x - s, y - s, x + s, y + s), fill=int(130 + 70 * min(s, 1.7)))

    canvas.add(rgb("#f4f6ff"), shape_mask(stars, 0.6))


def paint_light(canvas, light):
    """The sun or the moon with its glow."""
    x, y, radius = light.x * W, light.y * H, light.radius * H
    d = np.hypot(XX - x, YY - y)
    canvas.add(rgb(light.glow), 0.55 * np.exp(-d / (H * light.spread)))
    canvas.add(rgb(light.glow), 0.35 * np.exp(-((d / (radius * 2.2)) ** 2)))
    canvas.blend(rgb(light.disc), smooth(radius + 1.5, radius - 1.5, d) * 0.97)


def paint_clouds(canvas, amount, lit, shade, horizon):
    """Flat streaks of cloud: bright on the upper edge, dusky below."""
    rng = canvas.rng
    field_ = noise_field(rng, 3, 12, 5, 0.52)
    below = np.roll(field_, -int(H * 0.02), axis=0)
    threshold = 0.62 - 0.16 * amount
    cover = smooth(threshold, threshold + 0.16, field_)
    fade = smooth(0.0, 0.12, YY / H) * smooth(horizon, horizon * 0.55, YY / H)
    edge = np.clip((below - field_) * 7 + 0.5, 0, 1)[..., None]
    canvas.blend(mix(rgb(lit), rgb(shade), edge), cover * fade * 0.72)


# --- land --------------------------------------------------------------------


def ridge_line(rng, style, base, height):
    """The height of a ridge's edge in pixels from the top, for every column."""
    if style == "alpine":
        line = fractal_line(rng, 3, 6, 0.48, sharp=True) * 0.8 + fractal_line(rng, 2, 1) * 0.55
    elif style == "sharp":
        line = fractal_line(rng, 5, 6, 0.46, sharp=True)
    elif style == "mesa":
        # The basalt plateaux of the Ghats: flat tops, sudden steps, small crags.
        raw = fractal_line(rng, 4, 2, 0.5) * 1.5
        line = np.tanh(raw * 3.2) * 0.75 + fractal_line(rng, 26, 3, 0.5) * 0.12
    elif style == "dune":
        line = fractal_line(rng, 3, 2, 0.3)
    elif style == "cone":
        line = fractal_line(rng, 4, 5, 0.42, sharp=True) * 0.75 + fractal_line(rng, 2, 1) * 0.4
    else:
        line = fractal_line(rng, 4, 5, 0.42)
    return (H * (base - height * (line * 0.5 + 0.5))).astype(np.float32)


def land_mask(edge):
    return np.clip(YY - edge[None, :] + 0.5, 0, 1)


def blurred(edge, part):
    """A ridge's edge averaged over a part of the width, without its small teeth."""
    kernel = np.hanning(int(W * part))
    kernel /= kernel.sum()
    pad = len(kernel)
    return np.convolve(np.pad(edge, pad, mode="edge"), kernel, "same")[pad:-pad]


def relief(rng, cells_x, cells_y):
    """Light and shade, about -1 to 1, on a field of small spurs and gullies."""
    spurs = 1 - np.abs(2 * noise_field(rng, cells_x, cells_y, 4, 0.55) - 1) * 2
    across = np.gradient(spurs, axis=1) + 0.45 * np.gradient(spurs, axis=0)
    return np.clip(-across * W / cells_x * 0.30, -1, 1)


def paint_snow_peaks(canvas, peaks, light_left):
    """Rock peaks with snow, lit from one side.

    A slope is lit or in shadow by the direction of the ridge above it. Looking
    that up at a column that wanders with depth makes each spur run down the
    face in a ragged line, as real ones do; smaller spurs come from a relief.
    """
    rng = canvas.rng
    for depth, (base, height) in enumerate(peaks.ranges):
        edge = ridge_line(rng, "alpine", base, height)
        if peaks.summit and depth == len(peaks.ranges) - 1:
            x0, tall = peaks.summit
            lean = np.abs(X / W - x0)
            edge -= H * tall * np.clip(1 - lean / 0.24, 0, 1) ** 1.25
            edge += H * 0.015 * fractal_line(rng, 40, 3)
        mask = land_mask(edge)
        d = YY - edge[None, :]
        down = np.clip(d / (H * 0.30), 0, 1)
        wander = (noise_field(rng, 7, 9, 4) - 0.5) * (0.25 + 1.2 * down) * W * 0.16
        where = np.clip(XX + wander, 0, W - 1).astype(int)
        side = 1 if light_left else -1
        broad = np.gradient(blurred(edge, 0.045))[where] * side
        fine = np.gradient(blurred(edge, 0.014))[where] * side
        crags = relief(rng, 16, 10) * side
        form = broad * 0.85 + fine * 0.40 * (1 - 0.8 * down) + crags * 0.55
        lit = smooth(0.30, -0.34, form)
        grain = noise_field(rng, 60, 70, 3)
        snow_line = H * peaks.snow * (0.55 + 0.9 * noise_field(rng, 14, 5, 4))
        steep = np.abs(relief(rng, 30, 16))
        bare = d + (grain - 0.5) * H * 0.07 + steep * H * 0.10 - lit * H * 0.02
        high = smooth(snow_line + H * 0.035, snow_line - H * 0.02, bare)
        rock = mix(rgb(peaks.rock_shade), rgb(peaks.rock_lit), np.clip(lit * 0.85 + (grain - 0.5) * 0.35, 0, 1)[..., None])
        snow = mix(rgb(peaks.snow_shade), rgb(peaks.snow_lit), lit[..., None])
        colour = mix(rock, snow, high[..., None])
        air = peaks.air * (1 - depth / max(len(peaks.ranges), 1) * 0.75)
        low = np.clip((YY / H - base + 0.24) / 0.30, 0, 1) ** 1.4 * 0.75
        colour = mix(colour, rgb(peaks.haze), np.clip(air + low, 0, 1)[..., None])
        canvas.blend(colour, mask)


def conifer(draw, x, y, height, rng):
    """One spruce: a ragged triangle of overlapping branches."""
    tiers, half = max(int(height / 7), 4), height * rng.uniform(0.17, 0.23)
    left, right = [(x, y - height)], [(x, y - height)]
    for tier in range(1, tiers + 1):
        t = tier / tiers
        out, step = half * t * rng.uniform(0.85, 1.15), height / tiers
        yy = y - height + t * height
        left += [(x - out, yy), (x - out * 0.52, yy - step * 0.22)]
        right += [(x + out, yy), (x + out * 0.52, yy - step * 0.22)]
    draw.polygon(left + right[::-1], fill=255)


def broadleaf(draw, x, y, height, rng):
    """One rain-forest crown: a clump of discs on a short trunk."""
    y += height * 0.22
    draw.rectangle((x - height * 0.03, y - height * 0.6, x + height * 0.03, y), fill=255)
    for _ in range(11):
        r = height * rng.uniform(0.13, 0.24)
        cx, cy = x + height * rng.uniform(-0.3, 0.3), y - height * rng.uniform(0.22, 0.85)
        draw.ellipse((cx - r, cy - r * 0.8, cx + r, cy + r * 0.8), fill=255)


def palm(draw, x, y, height, rng):
    lean, thick = height * rng.uniform(-0.18, 0.18), max(height * 0.025, 1.5)
    for i in range(24):
        t = i / 23
        cx, cy = x + lean * t * t, y - height * t
        draw.ellipse((cx - thick, cy - thick * 2, cx + thick, cy + thick * 2), fill=255)
    for angle in np.linspace(-2.9, 0.4, 9) + rng.uniform(-0.1, 0.1):
        points = []
        for i in range(9):
            t = i / 8
            px = x + lean + np.cos(angle) * height * 0.36 * t
            py = y - height + np.sin(angle) * height * 0.22 * t + height * 0.2 * t * t
            points.append((px, py))
        draw.line(points, fill=255, width=max(int(height * 0.028), 2), joint="curve")


TREES = {"conifer": conifer, "broadleaf": broadleaf, "palm": palm}


def tree_mask(rng, edge, kind, size, spacing, cover=1.0):
    """A row of trees that stands on a ridge's edge."""
    presence = noise_line(rng, 7)

    def row(draw):
        x = -size
        while x < W + size:
            column = int(np.clip(x, 0, W - 1))
            if presence[column] < cover * 2 - 1:
                height = size * rng.uniform(0.55, 1.25)
                TREES[kind](draw, x, edge[column] + height * 0.12, height, rng)
            x += spacing * size * rng.uniform(0.5, 1.5)

    return shape_mask(row)


def paint_ridges(canvas, scene):
    """Ridges from far to near: each one darker, lower and clearer than the last."""
    rng, n = canvas.rng, scene.ridges
    far, near, mist = rgb(scene.far), rgb(scene.near), rgb(scene.mist)
    for i in range(n):
        t = i / max(n - 1, 1)
        base = mix(scene.ridge_top, scene.ridge_low, t)
        style = scene.style if t < 0.75 or scene.style == "dune" else scene.near_style
        edge = ridge_line(rng, style, base, scene.ridge_height * (1.1 - 0.45 * t))
        if scene.valley:
            edge += -H * scene.valley * (np.abs(X / W - scene.valley_x) * 2) ** 1.4 * (0.25 + 0.75 * t) + H * 0.03
        mask = land_mask(edge)
        if scene.trees and t >= scene.trees_from:
            size = H * mix(0.018, scene.tree_size, (t - scene.trees_from) / max(1 - scene.trees_from, 0.01))
            mask = np.maximum(mask, tree_mask(rng, edge, scene.trees, size, 0.3, scene.tree_cover))
        body = mix(far, near, t**0.85)
        d = np.clip((YY - edge[None, :]) / (H * 0.26), 0, 1)
        texture = (noise_field(rng, 26, 12, 4) - 0.5) * 0.16 * (0.35 + t)
        lit = np.exp(-np.clip(YY - edge[None, :], 0, None) / (H * 0.03))[..., None]
        colour = body * (1 + texture[..., None]) + rgb(scene.rim) * lit * 0.10 * (1 - 0.5 * t)
        veil = d ** (1.2 if scene.thick_mist else 1.7) * scene.mist_amount * (1 - 0.72 * t)
        wisps = 0.65 + 0.7 * noise_field(rng, 4, 10, 3)
        canvas.blend(mix(colour, mist, np.clip(veil * wisps, 0, 1)[..., None]), mask)
        if i in scene.falls:
            paint_waterfall(canvas, edge, scene.falls[i])
        if scene.fort and i == scene.fort[0]:
            paint_fort(canvas, edge, scene.fort[1], body)
    return edge


def paint_waterfall(canvas, edge, x_part):
    rng, x0 = canvas.rng, x_part * W
    top = edge[int(x0)]
    drift = noise_line(rng, 16, YY[:, 0] / H * W) * W * 0.006
    width = W * (0.0035 + 0.0045 * np.clip((YY[:, 0] - top) / (H * 0.25), 0, 1))
    across = (XX - x0 - drift[:, None]) / width[:, None]
    strands = 0.6 + 0.4 * noise_field(rng, 300, 5, 2)
    column = np.exp(-(across**2) * 1.3) * strands
    column *= smooth(top - 1, top + 5, YY) * smooth(top + H * 0.27, top + H * 0.18, YY)
    canvas.blend(rgb("#f3fafa"), column * 0.92)
    spray = np.exp(-(((XX - x0) / (W * 0.05)) ** 2) - ((YY - top - H * 0.235) / (H * 0.045)) ** 2)
    canvas.blend(rgb("#f3fafa"), spray * 0.5)


def paint_fort(canvas, edge, x_part, colour):
    """A hill fort's wall with bastions and a gate along the crest."""
    x0, x1 = int((x_part - 0.13) * W), int((x_part + 0.13) * W)
    top = np.convolve(np.pad(edge, 40, mode="edge"), np.ones(81) / 81, "valid")

    def walls(draw):
        wall, tooth = H * 0.022, int(W * 0.005)
        for x in range(x0, x1, tooth):
            y = top[min(x, W - 1)]
            rise = wall + (H * 0.008 if (x // tooth) % 2 else 0)
            draw.rectangle((x, y - rise, x + tooth, y + H * 0.03), fill=255)
        for part in (0.04, 0.3, 0.66, 0.96):
            cx = int(x0 + (x1 - x0) * part)
            y, r = top[min(cx, W - 1)], W * 0.011
            draw.polygon([(cx - r, y - wall * 1.9), (cx + r, y - wall * 1.9), (cx + r * 1.2, y + H * 0.04), (cx - r * 1.2, y + H * 0.04)], fill=255)
            for k in (-1, 0, 1):
                draw.rectangle((cx + k * r * 0.75 - r * 0.22, y - wall * 2.3, cx + k * r * 0.75 + r * 0.22, y - wall * 1.8), fill=255)
        cx = int(x0 + (x1 - x0) * 0.66)
        y = top[min(cx, W - 1)]
        draw.line((cx, y - wall * 2, cx, y - wall * 4.6), fill=255, width=3)
        draw.polygon([(cx, y - wall * 4.6), (cx + W * 0.017, y - wall * 4.1), (cx, y - wall * 3.6)], fill=255)

    above = smooth(8, 0, YY - edge[None, :])
    canvas.blend(colour, shape_mask(walls) * above)


# --- water -------------------------------------------------------------------


def paint_lake(canvas, level, tint, calm):
    """Mirrors what stands above the water line, broken by ripples that grow nearer."""
    rng, y0 = canvas.rng, int(level * H)
    depth = np.clip((YY - y0) / (H - y0), 0, 1)
    ripple = (noise_field(rng, 5, 110, 3) - 0.5) * (1 - calm) * H * 0.10 * (0.15 + depth)
    source_y = np.clip(2 * y0 - YY + ripple, 0, y0 - 1).astype(int)
    source_x = np.clip(XX + ripple * 0.4, 0, W - 1).astype(int)
    mirror = mix(canvas.px[source_y, source_x], rgb(tint), (0.26 + 0.34 * depth)[..., None])
    glint = smooth(0.64, 0.8, noise_field(rng, 7, 150, 2)) * 0.22 * (1 - calm * 0.5)
    mirror = 1 - (1 - mirror) * (1 - glint[..., None] * 0.6)
    canvas.blend(mirror, np.clip(YY - y0 + 0.5, 0, 1))
    shore = np.exp(-((YY - y0) ** 2) / (H * 0.004) ** 2) * 0.45
    canvas.blend(canvas.px[: max(y0, 1)].mean(axis=(0, 1)) * 1.15, shore)


def paint_river(canvas, start, mouth, colour):
    """A river that winds from a point in the valley down to the lower edge."""
    x0, y0 = start
    t = np.clip((YY / H - y0) / (1 - y0), 0, 1)
    bend = np.sin(t**0.62 * 9.0) * 0.13 * t**0.8
    centre = W * (mix(x0, mouth, t) + bend)
    width = W * (0.003 + 0.10 * t**1.9)
    inside = smooth(1.0, 0.94, np.abs(XX - centre) / width) * (YY > y0 * H)
    shine = noise_field(canvas.rng, 8, 90, 3)
    canvas.blend(rgb(colour) * (0.86 + 0.24 * shine[..., None]), inside * 0.95)
    bank = smooth(1.22, 1.0, np.abs(XX - centre) / width) * (1 - inside) * (YY > y0 * H)
    canvas.blend(rgb(colour) * 0.45, bank * 0.4)


# --- foreground --------------------------------------------------------------


def paint_ground(canvas, scene):
    """The nearest strip of land, and what grows on it. Returns its edge."""
    rng = canvas.rng
    edge = H * scene.ground_at + fractal_line(rng, 3, 3, 0.4) * H * 0.03
    if scene.ground_tilt:
        edge += (X / W - 0.5) * H * scene.ground_tilt
    colour = rgb(scene.ground)
    d = np.clip((YY - edge[None, :]) / (H * 0.25), 0, 1)[..., None]
    texture = 1 + (noise_field(rng, 30, 26, 4) - 0.5)[..., None] * 0.42
    canvas.blend(colour * (1.22 - 0.6 * d) * texture, land_mask(edge))
    if scene.cover in ("grass", "flowers"):
        paint_grass(canvas, edge, colour, scene.blades)
    if scene.cover == "flowers":
        paint_flowers(canvas, edge, scene.petals)
    if scene.cover == "rocks":
        paint_rocks(canvas, edge, colour, rgb(scene.rim))
    if scene.cover == "snow":
        drift = smooth(0.5, 0.7, noise_field(rng, 6, 30, 4)) * land_mask(edge)
        canvas.blend(rgb(scene.mist), drift * 0.5)
    if scene.cover == "terraces":
        paint_terraces(canvas, edge, colour)
    return edge


def paint_grass(canvas, edge, colour, blades):
    rng = canvas.rng
    for tone, share, reach in ((1.25, 0.4, 0.7), (0.8, 0.35, 0.9), (0.5, 0.25, 1.1)):
        count = int(blades * share)
        xs = rng.uniform(0, W, count)
        drop = rng.random(count) ** 1.6

        def tufts(draw):
            for x, part in zip(xs, drop):
                y = edge[int(x)] + part * (H - edge[int(x)]) + 3
                h = H * (0.014 + 0.030 * part) * rng.uniform(0.6, 1.3) * reach
                bend = h * rng.uniform(-0.45, 0.6)
                draw.line([(x, y), (x + bend * 0.35, y - h * 0.6), (x + bend, y - h)], fill=255, width=2 if part > 0.3 else 1)

        canvas.blend(colour * tone, shape_mask(tufts))


def paint_flowers(canvas, edge, petals):
    rng = canvas.rng
    for code in petals:
        xs, drop = rng.uniform(0, W, 900), rng.random(900) ** 1.4
        clump = noise_line(rng, 9)

        def heads(draw):
            for x, part in zip(xs, drop):
                if clump[int(x)] < -0.25:
                    continue
                y = edge[int(x)] + part * (H - edge[int(x)])
                r = 1.5 + 6.5 * part * rng.uniform(0.6, 1.1)
                draw.ellipse((x - r, y - r * 0.75, x + r, y + r * 0.75), fill=255)

        canvas.blend(rgb(code), shape_mask(heads) * 0.95)


def paint_rocks(canvas, edge, colour, light):
    rng = canvas.rng
    for _ in range(26):
        part = rng.random() ** 1.4
        x = rng.uniform(0, W)
        y = edge[int(x)] + part * (H - edge[int(x)]) * 0.95
        r = H * (0.008 + 0.045 * part) * rng.uniform(0.6, 1.3)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        points = [(x + np.cos(a) * r * rng.uniform(0.9, 1.35), y + np.sin(a) * r * 0.62) for a in angles]
        stone = shape_mask(lambda draw: draw.polygon(points, fill=255), 0.7)
        top = np.clip((y - YY) / r + 0.3, 0, 1)[..., None]
        canvas.blend(mix(colour * 0.55, colour * 0.95 + light * 0.2, top), stone)


def paint_terraces(canvas, edge, colour):
    """Rows of tea bushes that follow the slope."""
    rng = canvas.rng
    depth = np.clip((YY - edge[None, :]) / (H - edge[None, :]), 0, 1)
    bend = 0.35 * np.sin(XX / W * 5.0 + 0.8) + 0.5 * (noise_field(rng, 5, 5, 2) - 0.5)
    rows = np.sin((np.log1p(depth * 5) * 9 + bend) * 2 * np.pi)
    leaf = noise_field(rng, 130, 90, 2)
    bush = smooth(-0.35, 0.25, rows + (leaf - 0.5) * 0.9)
    tone = colour * (0.75 + 0.75 * (leaf * smooth(-0.2, 1.0, rows)))[..., None]
    canvas.blend(mix(colour * 0.38, tone, bush[..., None]), land_mask(edge))


def paint_tents(canvas, edge, places, glow, size):
    for x_part, colour in places:
        x, s = x_part * W, H * size
        y = edge[int(x)] + s * 0.28
        halo = np.exp(-np.hypot((XX - x) / (s * 2.6), (YY - y + s * 0.3) / (s * 1.6)) ** 2)
        canvas.add(rgb("#ffb45e"), halo * 0.55 * glow)
        dome = [(x + s * 1.15 * np.cos(a), y - s * 0.95 * np.sin(a) ** 0.85) for a in np.linspace(0, np.pi, 40)]
        body = shape_mask(lambda draw: draw.polygon(dome, fill=255))
        inner = np.clip(1 - np.hypot((XX - x) / s, (YY - y) / s), 0, 1)[..., None]
        tone = rgb(colour) * (0.72 + 0.3 * np.clip((x + s - XX) / (2 * s), 0, 1))[..., None]
        canvas.blend(mix(tone, rgb("#ffd591"), inner * glow), body)
        door = [(x - s * 0.05, y - s * 0.86), (x - s * 0.34, y), (x + s * 0.27, y)]
        canvas.blend(mix(rgb(colour) * 0.35, rgb("#ffe3ae"), glow * 0.85), shape_mask(lambda draw: draw.polygon(door, fill=255)))
        poles = [dome[8:20], dome[20:32]]
        canvas.blend(rgb(colour) * 0.6, shape_mask(lambda draw: [draw.line(p, fill=190, width=2) for p in poles]))


def walker(draw, x, y, h, lean):
    """A walker with a rucksack and a pole."""
    head, hip = h * 0.085, y - h * 0.46
    draw.ellipse((x - head + lean * 2, y - h, x + head + lean * 2, y - h + head * 2.2), fill=255)
    draw.polygon([(x - h * 0.09 + lean, y - h * 0.8), (x + h * 0.09 + lean, y - h * 0.8), (x + h * 0.08, hip), (x - h * 0.08, hip)], fill=255)
    draw.rounded_rectangle((x - h * 0.25 + lean, y - h * 0.86, x - h * 0.05 + lean, y - h * 0.44), h * 0.06, fill=255)
    draw.line([(x, hip), (x + h * 0.11, y - h * 0.22), (x + h * 0.10, y)], fill=255, width=max(int(h * 0.085), 2))
    draw.line([(x, hip), (x - h * 0.07, y - h * 0.22), (x - h * 0.17, y)], fill=255, width=max(int(h * 0.085), 2))
    draw.line([(x + h * 0.05 + lean, y - h * 0.72), (x + h * 0.2, y - h * 0.55), (x + h * 0.24, y - h * 0.56)], fill=255, width=max(int(h * 0.055), 2))
    draw.line([(x + h * 0.24, y - h * 0.6), (x + h * 0.29, y)], fill=255, width=max(int(h * 0.022), 1))


def paint_walkers(canvas, edge, xs, size, colour):
    def group(draw):
        for i, part in enumerate(xs):
            x, h = part * W, H * size * (0.92 + 0.05 * (i % 3))
            walker(draw, x, edge[int(x)] + h * 0.05, h, h * 0.02)

    canvas.blend(rgb(colour), shape_mask(group))


def paint_boat(canvas, x_part, y_part, colour):
    x, y, s = x_part * W, y_part * H, W * 0.045

    def hull(draw):
        draw.polygon([(x - s, y - s * 0.12), (x + s, y - s * 0.12), (x + s * 0.72, y + s * 0.14), (x - s * 0.72, y + s * 0.14)], fill=255)
        draw.ellipse((x - s * 0.1, y - s * 0.62, x + s * 0.08, y - s * 0.44), fill=255)
        draw.polygon([(x - s * 0.15, y - s * 0.42), (x + s * 0.13, y - s * 0.42), (x + s * 0.17, y), (x - s * 0.2, y)], fill=255)
        draw.line((x + s * 0.1, y - s * 0.35, x + s * 0.62, y + s * 0.2), fill=255, width=3)

    canvas.blend(rgb(colour), shape_mask(hull))
    wake = np.exp(-(((YY - y - s * 0.24) / (s * 0.10)) ** 2) - ((XX - x) / (s * 1.1)) ** 2)
    canvas.blend(rgb(colour), wake * 0.55)


def paint_huts(canvas, edge, places, colour, glow):
    """Flat-roofed mountain houses with lit windows and a prayer-flag line or hearth smoke."""
    rng = canvas.rng
    for x_part in places:
        x, s = x_part * W, H * 0.034 * rng.uniform(0.85, 1.2)
        y = edge[int(x)] + s * 0.4
        canvas.blend(rgb(colour), shape_mask(lambda draw: draw.rectangle((x - s, y - s * 1.1, x + s, y + s * 0.4), fill=255)))
        canvas.blend(rgb(colour) * 0.55, shape_mask(lambda draw: draw.rectangle((x - s * 1.12, y - s * 1.28, x + s * 1.12, y - s * 1.08), fill=255)))

        def windows(draw):
            for k in (-0.55, 0.0, 0.55):
                draw.rectangle((x + k * s - s * 0.13, y - s * 0.78, x + k * s + s * 0.13, y - s * 0.42), fill=255)

        canvas.blend(mix(rgb(colour) * 0.3, rgb("#ffd27a"), glow), shape_mask(windows))


def paint_flags(canvas, start, end):
    """A string of prayer flags between two points given as parts of the picture."""
    (xa, ya), (xb, yb) = start, end
    t = np.linspace(0, 1, 60)
    xs, ys = (xa + (xb - xa) * t) * W, (ya + (yb - ya) * t + 0.10 * 4 * t * (1 - t) * 0.55) * H
    cord = shape_mask(lambda draw: draw.line(list(zip(xs, ys)), fill=255, width=2))
    canvas.blend(rgb("#3a2f2a"), cord * 0.9)
    colours = ("#2f6fb3", "#f2efe4", "#c63c36", "#3d8b4f", "#e3b33c")
    for k in range(2, 58, 2):
        s = H * 0.026
        quad = [(xs[k] - s * 0.42, ys[k]), (xs[k] + s * 0.42, ys[k] + s * 0.05), (xs[k] + s * 0.36, ys[k] + s), (xs[k] - s * 0.46, ys[k] + s * 0.92)]
        canvas.blend(rgb(colours[(k // 2) % 5]), shape_mask(lambda draw: draw.polygon(quad, fill=255)) * 0.95)


def paint_birds(canvas, count, x_part, y_part, colour):
    rng = canvas.rng

    def flock(draw):
        for _ in range(count):
            x, y = (x_part + rng.normal(0, 0.06)) * W, (y_part + rng.normal(0, 0.035)) * H
            s = W * rng.uniform(0.005, 0.010)
            draw.line([(x - s, y - s * 0.35), (x - s * 0.4, y - s * 0.5), (x, y), (x + s * 0.4, y - s * 0.5), (x + s, y - s * 0.3)], fill=255, width=3, joint="curve")

    canvas.blend(rgb(colour), shape_mask(flock) * 0.85)


def paint_rain(canvas, amount):
    rng, count = canvas.rng, int(900 * amount)
    xs, ys, lengths = rng.uniform(-60, W, count), rng.uniform(-60, H, count), rng.uniform(25, 75, count)

    def streaks(draw):
        for x, y, length in zip(xs, ys, lengths):
            draw.line((x, y, x + length * 0.16, y + length), fill=int(rng.uniform(50, 110)), width=2)

    canvas.add(rgb("#dfe9ee"), shape_mask(streaks, 0.9) * 0.5)


def paint_snowfall(canvas, amount):
    rng, count = canvas.rng, int(520 * amount)
    xs, ys, sizes = rng.uniform(0, W, count), rng.uniform(0, H, count), 0.9 + 3.0 * rng.random(count) ** 3

    def flakes(draw):
        for x, y, s in zip(xs, ys, sizes):
            draw.ellipse((x - s, y - s, x + s, y + s), fill=190)

    canvas.add(rgb("#ffffff"), shape_mask(flakes, 0.8) * 0.8)


def paint_fire(canvas, edge, x_part):
    x = x_part * W
    y = edge[int(x)] + H * 0.025
    canvas.add(rgb("#ff9a3c"), 0.9 * np.exp(-np.hypot((XX - x) / (H * 0.16), (YY - y) / (H * 0.09)) ** 2))
    for s, code in ((0.030, "#ff8a2b"), (0.020, "#ffc04d"), (0.011, "#fff0c0")):
        h = s * H * 2.1
        flame = [(x - s * H * 0.6, y), (x - s * H * 0.35, y - h * 0.45), (x - s * H * 0.05, y - h), (x + s * H * 0.25, y - h * 0.55), (x + s * H * 0.6, y)]
        canvas.blend(rgb(code), shape_mask(lambda draw: draw.polygon(flame, fill=255), 2.5))
    logs = [((x - H * 0.03, y + 3), (x + H * 0.03, y - 3)), ((x - H * 0.03, y - 3), (x + H * 0.03, y + 3))]
    canvas.blend(rgb("#2a1712"), shape_mask(lambda draw: [draw.line(p, fill=255, width=7) for p in logs]))


# --- a scene -----------------------------------------------------------------


@dataclass
class Light:
    x: float
    y: float
    radius: float = 0.055
    disc: str = "#fff6dc"
    glow: str = "#ffd9a0"
    spread: float = 0.28


@dataclass
class Peaks:
    """Snow mountains behind the ridges: each range is (foot, height) as parts of the picture."""

    ranges: list
    rock_lit: str = "#8d8a9c"
    rock_shade: str = "#4c5472"
    snow_lit: str = "#fffaf2"
    snow_shade: str = "#a9bbdc"
    haze: str = "#cfdcec"
    air: float = 0.30
    snow: float = 0.16
    summit: tuple = None


@dataclass
class Scene:
    sky: list
    light: Light = None
    horizon: float = 0.7
    clouds: float = 0.0
    cloud_lit: str = "#ffffff"
    cloud_shade: str = "#c8cfe0"
    stars: int = 0
    milky_way: bool = False
    peaks: Peaks = None
    style: str = "rolling"
    near_style: str = "rolling"
    ridges: int = 5
    ridge_top: float = 0.55
    ridge_low: float = 0.92
    ridge_height: float = 0.22
    valley: float = 0.0
    valley_x: float = 0.5
    far: str = "#a9bccb"
    near: str = "#1f3a34"
    mist: str = "#e8eef0"
    mist_amount: float = 0.85
    thick_mist: bool = False
    rim: str = "#ffffff"
    trees: str = None
    trees_from: float = 0.6
    tree_size: float = 0.07
    tree_cover: float = 0.8
    falls: dict = field(default_factory=dict)
    fort: tuple = None
    lake: tuple = None
    river: tuple = None
    ground: str = None
    ground_at: float = 0.86
    ground_tilt: float = 0.0
    cover: str = None
    blades: int = 3800
    petals: tuple = ()
    tents: tuple = ()
    tent_glow: float = 0.0
    tent_size: float = 0.045
    fire: float = None
    walkers: tuple = ()
    walker_size: float = 0.075
    walker_colour: str = "#141c22"
    huts: tuple = ()
    hut_colour: str = "#e9dfcf"
    hut_glow: float = 0.3
    flags: tuple = None
    boat: tuple = None
    birds: tuple = None
    rain: float = 0.0
    snowfall: float = 0.0


def paint(name, scene):
    canvas = Canvas(np.random.default_rng(zlib.crc32(name.encode())))
    paint_sky(canvas, scene.sky, scene.horizon)
    if scene.stars:
        paint_stars(canvas, scene.stars, scene.milky_way)
    if scene.light:
        paint_light(canvas, scene.light)
    if scene.clouds:
        paint_clouds(canvas, scene.clouds, scene.cloud_lit, scene.cloud_shade, scene.horizon)
    if scene.birds:
        paint_birds(canvas, *scene.birds)
    if scene.peaks:
        paint_snow_peaks(canvas, scene.peaks, scene.light is None or scene.light.x < 0.5)
    edge = paint_ridges(canvas, scene) if scene.ridges else np.full(W, H * 0.8, np.float32)
    if scene.lake:
        paint_lake(canvas, *scene.lake)
    if scene.river:
        paint_river(canvas, *scene.river)
    if scene.boat:
        paint_boat(canvas, *scene.boat)
    if scene.ground:
        edge = paint_ground(canvas, scene)
    if scene.huts:
        paint_huts(canvas, edge, scene.huts, scene.hut_colour, scene.hut_glow)
    if scene.fire is not None:
        paint_fire(canvas, edge, scene.fire)
    if scene.tents:
        paint_tents(canvas, edge, scene.tents, scene.tent_glow, scene.tent_size)
    if scene.walkers:
        paint_walkers(canvas, edge, scene.walkers, scene.walker_size, scene.walker_colour)
    if scene.flags:
        paint_flags(canvas, *scene.flags)
    if scene.rain:
        paint_rain(canvas, scene.rain)
    if scene.snowfall:
        paint_snowfall(canvas, scene.snowfall)
    return finish(canvas)


def finish(canvas):
    """A soft vignette and a breath of grain, which hides banding in the sky."""
    corner = np.hypot((XX - W / 2) / (W / 2), (YY - H / 2) / (H / 2))
    px = canvas.px * (1 - 0.16 * smooth(0.75, 1.45, corner))[..., None]
    px += canvas.rng.normal(0, 0.006, (H, W, 1)).astype(np.float32)
    image = Image.fromarray((np.clip(px, 0, 1) * 255 + 0.5).astype(np.uint8))
    return image.resize(FINAL, Image.LANCZOS)
