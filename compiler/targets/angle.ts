/**
 * An angle by whole turns, exactly, after Payne and Hanek (1983).
 *
 *   x = m · 2^e, m of 24 bits     x / 2π modulo 1 = m · (the bits of 1/2π from the e-th behind the point on) modulo 1
 *
 * What stands before those bits are whole turns, whatever m is. 64 bits of the fraction leave 2^-40 of a turn behind the product, for every f32.
 * Only integers are multiplied, so that no target's contraction of products and sums changes anything. Angles below 2^17 stay what they are.
 */

/** 1/2π = 0.159…, the first 192 bits behind the binary point. */
export const turnWords: readonly number[] = [0x28be60db, 0x9391054a, 0x7f09d5f4, 0x7d4d3770, 0x36d8a566, 0x4f10e410]

/** The exponent of the smallest angle that is reduced: a float of these bits, and 2^17. */
const smallestExponent = 127 + 17
export const smallestBits = smallestExponent << 23

/** With mantissas taken for integers, x = m · 2^(exponent − 150); where the bits begin in words that have `zeros` bits before the first. */
export const firstBit = (zeros: number): number => zeros - 150
