/**
 * The formats of GGUF's blocks. Sources: ggml-common.h and ggml-quants.c of llama.cpp; the tests hold gguf-py's numbers.
 *
 * A block of 32 weights has a scale; one of 256 has a scale of its scales, which are integers for 16 or 32 weights.
 */
import { type Arithmetic, type Format, type FormatName, plane } from "./format.js"

type Fields<V> = Readonly<Record<string, V>>

/** Codes of five or six bits: four in `codes`, the others in `high`. */
const joined = <V>(a: Arithmetic<V>, { codes, high }: Fields<V>): V => a.add(codes!, a.mul(high!, a.number(16)))

/** Codes that are read off a table, finer near zero. */
const uneven = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113] as const

const codes = plane("codes", "u4", 1)
const blockScale = plane("blockScale", "f16", 256)

const small = (name: FormatName, planes: Format["planes"], decode: Format["decode"]): Format => ({
  name,
  planes,
  decode,
  block: 32,
})

/** Of 256 weights with a scale and a minimum for each 32 of them, six bits each. */
const large = (
  name: FormatName,
  high: Format["planes"],
  code: <V>(a: Arithmetic<V>, fields: Fields<V>) => V,
): Format => ({
  name,
  planes: [
    codes,
    ...high,
    plane("scale", "u8", 32),
    plane("minimum", "u8", 32),
    blockScale,
    plane("blockMinimum", "f16", 256),
  ],
  decode: (a, fields) =>
    a.sub(
      a.mul(a.mul(fields.blockScale!, fields.scale!), code(a, fields)),
      a.mul(fields.blockMinimum!, fields.minimum!),
    ),
  block: 256,
})

const scale = plane("scale", "f16", 32)
const minimum = plane("minimum", "f16", 32)
const high = plane("high", "u1", 1)

export const q8_0 = small("q8_0", [plane("codes", "i8", 1), scale], (a, f) => a.mul(f.scale!, f.codes!))

export const q4_0 = small("q4_0", [codes, scale], (a, f) => a.mul(f.scale!, a.sub(f.codes!, a.number(8))))

export const q4_1 = small("q4_1", [codes, scale, minimum], (a, f) => a.add(a.mul(f.scale!, f.codes!), f.minimum!))

export const q5_0 = small("q5_0", [codes, high, scale], (a, f) => a.mul(f.scale!, a.sub(joined(a, f), a.number(16))))

export const q5_1 = small("q5_1", [codes, high, scale, minimum], (a, f) =>
  a.add(a.mul(f.scale!, joined(a, f)), f.minimum!),
)

export const iq4_nl = small("iq4_nl", [codes, scale], (a, f) => a.mul(f.scale!, a.pick(uneven, f.codes!)))

export const q4_k = large("q4_k", [], (_, f) => f.codes!)

export const q5_k = large("q5_k", [high], joined)

export const q6_k: Format = {
  name: "q6_k",
  planes: [codes, plane("high", "u2", 1), plane("scale", "i8", 16), blockScale],
  decode: (a, f) => a.mul(a.mul(f.blockScale!, f.scale!), a.sub(joined(a, f), a.number(32))),
  block: 256,
}

export const iq4_xs: Format = {
  name: "iq4_xs",
  planes: [codes, plane("scale", "i8", 32), blockScale],
  decode: (a, f) => a.mul(a.mul(f.blockScale!, f.scale!), a.pick(uneven, f.codes!)),
  block: 256,
}

/** All of them. */
export const blockFormats = [q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, iq4_nl, iq4_xs] as const
