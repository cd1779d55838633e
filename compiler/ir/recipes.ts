/**
 * Recipes as data: how folds that depend on one another over one axis become one fold that runs once (an online monoid).
 *
 *   m = max s;  l = Σ exp(s − m);  o = Σ exp(s − m) · v     →   one fold that carries (m, l, o) and is lifted from (s, 1, v)
 *
 * The pivots are ordinary folds of the score `$0`. A channel is Σ weight($0, pivots) · x over the elements so far, and `advance` says what a
 * channel `$c` becomes when the pivots move from `$p0 …` to `$q0 …`. Everything else follows (tile/online-step.ts):
 *
 *   identity    the pivots' identities, channels 0
 *   append      q = fold(p, lift(s));  c = advance(c, p, q) + weight(s, q) · x
 *   merge       q = fold(p, p′);       c = advance(c, p, q) + advance(c′, p′, q)
 *
 * A recipe is right when every chunking and bracketing of the merge equals the two passes: that is a law (test/laws/recipes.test.ts). Terms are
 * f32. Where a pivot is its identity still, nothing has been folded: weights and what advances from there are 0, whatever the score is. Programs
 * spell the weight without that, and where the pivot stays its identity to the end, `whole` says what their sum is.
 */
import { largest, type Operation } from "./operations.js"

/** An expression as data: a name, a number, or an operation over terms. */
export type Term = string | number | readonly [Operation, ...Term[]]

export interface Pivot {
  readonly fold: "max" | "sum"
  /** What is folded, over `$0`. */
  readonly of: Term
  /** Whether a score that is NaN makes its weight NaN whatever the pivots are, so that a maximum may lose it; so may the sign of 0. */
  readonly loose?: boolean
}

export interface Recipe {
  readonly pivots: readonly Pivot[]
  /** How programs spell a weight, over `$0` and `$p0 …`. */
  readonly spelled: Term
  /** The same for pivots that are no identities. */
  readonly weight: Term
  /** Over `$c`, `$p0 …` and `$q0 …`. */
  readonly advance: Term
  /** What a program's sum over at least one element is, over `$c` and `$p0 …`; the channel itself when left out. */
  readonly whole?: Term
  /** Whether a channel may have values x of its own; otherwise every x is 1. */
  readonly values: boolean
  /** A score that moves no pivot and whose weight is 0, if there is one: that of an element that does not count. */
  readonly absent?: number
}

const deviation: Term = ["sub", "$0", ["div", "$p1", "$p0"]]
/** How far the mean moves. A side without elements has no mean and no part in the result. */
const shift: Term = ["sub", ["div", "$p1", ["max", "$p0", 1]], ["div", "$q1", ["max", "$q0", 1]]]

/** −∞ − finite(−∞) is −∞, and its exponential 0. */
const finite = (pivot: Term): Term => ["looseMax", pivot, -largest]

export const recipes = {
  /** Sums of exponentials shifted by the largest (Milakov and Gimelshein 2018, arXiv 1805.02867). */
  exp: {
    pivots: [{ fold: "max", of: "$0", loose: true }],
    spelled: ["exp", ["sub", "$0", "$p0"]],
    weight: ["exp", ["sub", "$0", finite("$p0")]],
    advance: ["mul", "$c", ["exp", ["sub", "$p0", finite("$q0")]]],
    // exp(−∞ − −∞), added up: less 0 otherwise. A comparison would be a choice, and what it hangs on is kept in full (tensor/storage.ts).
    whole: ["sub", "$c", ["sub", "$p0", "$p0"]],
    values: true,
    absent: Number.NEGATIVE_INFINITY,
  },
  /** The sum of squared deviations from the mean (Welford 1962; Chan, Golub and LeVeque 1979). */
  moments: {
    pivots: [
      { fold: "sum", of: 1 },
      { fold: "sum", of: "$0" },
    ],
    spelled: ["mul", deviation, deviation],
    weight: ["mul", deviation, deviation],
    advance: ["select", ["gt", "$p0", 0], ["add", "$c", ["mul", "$p0", ["mul", shift, shift]]], "$c"],
    values: false,
  },
} as const satisfies Readonly<Record<string, Recipe>>

export type RecipeName = keyof typeof recipes

export const recipeOf = (name: RecipeName): Recipe => recipes[name]
