// The colours of loudness, from silence to the loudest: magma of matplotlib (CC0) at 17 places, with
// straight lines between them. The server's pictures are made by the same list, which it reads here.

export const PLACES = [[0, 0, 4], [10, 8, 34], [29, 17, 71], [54, 16, 107], [81, 18, 124], [106, 28, 129],
  [131, 38, 129], [156, 46, 127], [183, 55, 121], [208, 65, 111], [231, 82, 99], [245, 107, 92], [252, 137, 97],
  [254, 167, 114], [254, 196, 136], [253, 226, 163], [252, 253, 191]];

// 256 colours as little-endian RGBA words, as ImageData has them.
export const COLOURS = Uint32Array.from({ length: 256 }, (_, shade) => {
  const place = (shade / 255) * (PLACES.length - 1);
  const [from, to] = [PLACES[Math.floor(place)], PLACES[Math.ceil(place)]];
  const [r, g, b] = from.map((value, at) => Math.round(value + (to[at] - value) * (place % 1)));
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
});
