/**
 * The product of an atom as a function of the prelude: one instruction, by the atom's own numbers.
 *
 *   mma.m16n8k16.bf16     →   multiply_mma_m16n8k16_bf16(c, a, b)            operands in registers
 *   wgmma.m64n64k16.bf16  →   multiply_wgmma_m64n64k16_bf16<0, 0>(c, a, b)   tiles in shared memory, or `a` in registers; 1: turned over
 *
 * A last 1 among the numbers: what was in c is not added.
 */
import type { Atom } from "../../ir/fragments/atoms.js"

/** Functions of the prelude that stand there together. */
export interface Part {
  readonly types?: string
  readonly machine?: string
  readonly common?: string
  /** Parts whose functions this one calls. */
  readonly needs?: readonly string[]
}

/** The name of an atom's function. */
export const productName = (atom: string): string => `multiply_${atom.replaceAll(".", "_")}`

/** What a lane has of an operand, in words. */
export const wordsOf = (atom: Atom, operand: "a" | "b" | "c"): number => {
  const { m, n, k, lanes } = atom
  const elements = { a: m * k, b: k * n, c: m * n }[operand] / lanes
  return atom[operand].storage === "f32" ? elements : elements / 2
}

export const productPart = (atom: Atom): Part | undefined =>
  atom.name.startsWith("mma.") ? registersPart(atom) : atom.name.startsWith("wgmma.") ? groupPart(atom) : undefined

const shape = ({ m, n, k }: Atom): string => `m${m}n${n}k${k}`

/** `%3, %4` and so on. */
const numbered = (from: number, count: number): string =>
  Array.from({ length: count }, (_, i) => `%${from + i}`).join(", ")
const each = (count: number, text: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => text(i)).join(", ")

function registersPart(atom: Atom): Part {
  const [a, b, c] = (["a", "b", "c"] as const).map((operand) => wordsOf(atom, operand)) as [number, number, number]
  const { storage } = atom.a
  const results = numbered(0, c)
  return {
    needs: ["pairs"],
    machine: `template <int fresh = 0> FUNCTION void ${productName(atom.name)}(f32* c, const ${storage}_pair* a, const ${storage}_pair* b) {
  _Pragma("unroll") for (i32 i = 0; fresh && i < ${c}; i++) c[i] = 0.0f;
  asm volatile("mma.sync.aligned.${shape(atom)}.row.col.f32.${storage}.${storage}.f32 {${results}}, {${numbered(c, a)}}, {${numbered(c + a, b)}}, {${results}};"
    : ${each(c, (i) => `"+f"(c[${i}])`)} : ${each(a, (i) => `"r"(a[${i}].word)`)}, ${each(b, (i) => `"r"(b[${i}].word)`)});
}
`,
  }
}

/** Whether a product is added to what is there is for a predicate to say. */
const added = (fresh: number) => `{\\n .reg .pred p;\\n setp.eq.u32 p, %${fresh}, 0;\\n`

function groupPart(atom: Atom): Part {
  const { storage } = atom.a
  const [a, c] = [wordsOf(atom, "a"), wordsOf(atom, "c")]
  const results = numbered(0, c)
  const written = each(c, (i) => `"+f"(c[${i}])`)
  const instruction = `wgmma.mma_async.sync.aligned.${shape(atom)}.f32.${storage}.${storage} {${results}}`
  return {
    needs: ["products"],
    machine: `template <int turned_a, int turned_b, int fresh = 0> FUNCTION void ${productName(atom.name)}(f32* c, Tile a, Tile b) {
  asm volatile("${added(c + 4)} ${instruction}, %${c}, %${c + 1}, p, 1, 1, %${c + 2}, %${c + 3};\\n}"
    : ${written} : "l"(a.word), "l"(b.word), "n"(turned_a), "n"(turned_b), "n"(fresh));
}
template <int turned_a, int turned_b, int fresh = 0> FUNCTION void ${productName(atom.name)}(f32* c, const ${storage}_pair* a, Tile b) {
  asm volatile("${added(c + a + 2)} ${instruction}, {${numbered(c, a)}}, %${c + a}, p, 1, 1, %${c + a + 1};\\n}"
    : ${written} : ${each(a, (i) => `"r"(a[${i}].word)`)}, "l"(b.word), "n"(turned_b), "n"(fresh));
}
`,
  }
}
