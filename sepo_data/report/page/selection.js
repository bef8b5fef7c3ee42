// Rewards and masks as numbers: arrays from base64, and the rule `top` of `sepo select`. Nothing here knows the page.

/** The bytes of a text in base64. */
export function bytesOf(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place += 1) bytes[place] = letters.codePointAt(place);
  return bytes;
}

const READERS = {
  int32: (view, place) => view.getInt32(place * 4, true),
  uint32: (view, place) => view.getUint32(place * 4, true),
  float32: (view, place) => view.getFloat32(place * 4, true),
  uint16: (view, place) => view.getUint16(place * 2, true),
  uint8: (view, place) => view.getUint8(place),
};
const ARRAYS = {
  int32: Int32Array, uint32: Uint32Array, float32: Float32Array, uint16: Uint16Array, uint8: Uint8Array,
};

/** Little-endian numbers in base64 as a typed array, on a machine of either byte order. */
export function numbersOf(kind, text) {
  const bytes = bytesOf(text);
  const view = new DataView(bytes.buffer);
  const values = new ARRAYS[kind](bytes.length / ARRAYS[kind].BYTES_PER_ELEMENT);
  for (let place = 0; place < values.length; place += 1) values[place] = READERS[kind](view, place);
  return values;
}

/** `length` bits, the lowest of each byte first, as zeros and ones. */
export function bitsOf(text, length) {
  const bytes = bytesOf(text);
  return Uint8Array.from({ length }, (_, place) => (bytes[place >> 3] >> (place & 7)) & 1);
}

/** Log-probabilities: `{float32: ...}`, or `{thousandths: ...}` of 16 bits. */
export function logpsOf(packed) {
  if (packed.float32 !== undefined) return numbersOf("float32", packed.float32);
  return Float64Array.from(numbersOf("uint16", packed.thousandths), (value) => -value / 1000);
}

/** Starts of responses of these lengths, and the end of the last one. */
export function offsetsOf(lengths) {
  const offsets = new Int32Array(lengths.length + 1);
  for (let place = 0; place < lengths.length; place += 1) offsets[place + 1] = offsets[place] + lengths[place];
  return offsets;
}

const BASIS_POINTS = 10_000;

/** The k of a response of n tokens, max(1, floor(share x n)), in integers: `percent` is one. */
export function kOf(n, percent) {
  const product = n * percent * 100;
  return Math.max(1, (product - (product % BASIS_POINTS)) / BASIS_POINTS);
}

/** Positions in the order in which `sepo select` takes them: best first, the earliest first among equals.
 *  The best of a rejected response are its lowest rewards. -0 equals 0. */
export function orderOf(rewards, side) {
  const sign = side === "rejected" ? -1 : 1;
  const positions = Uint32Array.from(rewards, (_, position) => position);
  return positions.toSorted((a, b) => sign * (rewards[b] - rewards[a]) || a - b);
}

/** The rank of each position, from 1. */
export function ranksOf(order) {
  const ranks = new Uint32Array(order.length);
  order.forEach((position, place) => { ranks[position] = place + 1; });
  return ranks;
}

/** The mask that marks the first `k` of `order`. */
export function maskOf(order, k) {
  const mask = new Uint8Array(order.length);
  for (const position of order.subarray(0, k)) mask[position] = 1;
  return mask;
}

/** Tokens, reward and absolute reward of the marked tokens, in double precision. */
export function sumsOf(rewards, mask) {
  const sums = { tokens: 0, reward: 0, absolute: 0 };
  for (let place = 0; place < rewards.length; place += 1) {
    if (mask === null || mask[place]) {
      sums.tokens += 1;
      sums.reward += rewards[place];
      sums.absolute += Math.abs(rewards[place]);
    }
  }
  return sums;
}

/** Tokens marked in both masks, of those marked in any; 1 where none is. */
export function overlapOf(a, b) {
  let both = 0;
  let any = 0;
  for (let place = 0; place < a.length; place += 1) {
    both += a[place] & b[place];
    any += a[place] | b[place];
  }
  return any ? both / any : 1;
}

/** The size that `share` of the values do not exceed; 1 where all are 0. */
export function sizeOf(values, share) {
  const sizes = Float32Array.from(values, Math.abs).toSorted();
  return sizes[Math.min(sizes.length - 1, Math.floor(sizes.length * share))] || sizes.at(-1) || 1;
}

export const STEPS = 21;

/** The step of the scale of colours, from 0 to 20, of a reward: 10 is none, the ends are `size` and beyond. */
export function stepOf(reward, size) {
  const half = (STEPS - 1) / 2;
  return half + Math.round(half * Math.min(1, Math.max(-1, reward / size)));
}
