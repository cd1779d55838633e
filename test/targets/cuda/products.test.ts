/**
 * Products on matrix units, printed as CUDA and run on a processor: any sizes, both kinds of atoms, against plain sums of the same numbers. What
 * can be wrong in such a text is planted and found.
 */
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { long, runs, seed } from "../../laws/settings.js"
import { fillShapes } from "../../support/fills.js"
import {
  type Case,
  fillCase,
  oddShapes,
  productCase,
  productShapes,
  wrongFill,
  wrongProduct,
} from "../../support/product-cases.js"
import { compilerPresent, type Launch, runCuda, textOf } from "./run.js"

const present = compilerPresent()

const launchOf = ({ kernel, memories }: Case<unknown>): Launch => ({ kernel, memories, symbols: new Map() })

/** What a printer, or a schedule, may do wrong. */
const faults: Readonly<Record<string, (text: string) => string>> = {
  "rows swizzled otherwise where they are read": (text) =>
    text
      .replaceAll(/(load_matrices_4\([^<]*swizzled)<128>/g, "$1<64>")
      .replaceAll("tile_of_rows<128>", "tile_of_rows<64>"),
  "a result in another row": (text) => text.replace(/(row = .*)% 2\) \* 8\)/, "$1% 2) * 4)"),
  "no barrier": (text) => text.replace("barrier();", ""),
  "a wait for one group less": (text) => text.replace(/wait_copies<(\d)>/, (_, n) => `wait_copies<${Number(n) + 1}>`),
  "rows beyond the end": (text) => text.replaceAll(/, (bool\()?\(?\(m0 \+ [^;]*;/g, ");"),
  "columns for rows": (text) => text.replaceAll("load_matrices_4(fb", "load_turned_matrices_4(fb"),
  "operands in one another's place": (text) => text.replaceAll("(t * 16)", "(t * 8)"),
  "a panel in another place": (text) =>
    text.replace(/(tile_of_columns<\d+, )(\d+)/, (_, tile, bytes) => `${tile}${Number(bytes) / 2}`),
  "the stage before": (text) => text.replaceAll("(now * ", "(next * "),
  "products that go on": (text) => text.replace("wait_products<0>", "wait_products<1>"),
  "products of a stage that is filled": (text) => text.replace("wait_products<1>", "wait_products<3>"),
  "products before registers are there": (text) => text.replace("begin_products();", ""),
  "operands that are not shown": (text) => text.replace("show_products();", ""),
}

const odd = oddShapes.map((shape, i) => productCase(shape, i + 1))
/** Of the layouts whose text has a place for a fault, the first and the last. */
const faulty = Object.entries(faults).flatMap(([fault, change]) =>
  odd
    .filter(({ kernel }) => change(textOf(kernel)) !== textOf(kernel))
    .filter((_, i, all) => i === 0 || i === all.length - 1)
    .map((of) => ({ of, fault, launch: { ...launchOf(of), fault: change } })),
)

describe.skipIf(!present)("products on matrix units as CUDA", () => {
  const random = fc.sample(productShapes, { seed, numRuns: runs(4) }).map((shape, i) => productCase(shape, i + 100))
  // Wider atoms have the same tables with more columns, and f16 has those of bf16.
  const fills = fillShapes.filter(({ atom }) => long || /^mma.*bf16|n64/.test(atom)).map(fillCase)
  const products = [...odd, ...random]
  const launches = [...[...products, ...fills].map(launchOf), ...faulty.map(({ launch }) => launch)]
  let after: readonly (ArrayLike<number> | undefined)[]
  beforeAll(() => {
    after = runCuda(launches).map((memories) => memories?.get("y")?.values)
  })

  it("of any size, are plain sums", () => {
    console.log(`products: ${random.length} of random sizes, WEFT_SEED=${seed}`)
    expect(products.flatMap((c, i) => wrongProduct(c, after[i]))).toEqual([])
  })

  it("fills: each lane has what the layout says, of every operand of every atom", () => {
    expect(fills.flatMap((c, i) => wrongFill(c, after[products.length + i]))).toEqual([])
    const texts = fills.map(({ kernel }) => textOf(kernel))
    for (const name of ["load_matrices_2", "load_matrices_4", "load_turned_matrices_2", "load_turned_matrices_4"])
      expect(texts.filter((text) => text.includes(`${name}(`)).length, name).toBeGreaterThan(0)
  })

  it.each(Object.keys(faults))("find in the text: %s", (fault) => {
    const found = faulty.filter(
      (c, i) => c.fault === fault && wrongProduct(c.of, after[products.length + fills.length + i]).length > 0,
    )
    expect(found).not.toEqual([])
  })
})
