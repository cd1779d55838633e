/**
 * Order and selection without a sort, in the language.
 *
 *     keys [3 9 9 1], weights [1 1 1 1], goal 2      → last key 9
 *     keys [3 9 9 1], weights [1 1 1 1], goal 3      → last key 3
 *     tied [0 1 1 0 1], 2 of them                    → up to place 2
 *
 * The bits of an f32, turned, are a u32 key of the same order. The last key of a prefix of the descending order is found by bisection over
 * the bits: each round tries all values of the next digit and is one pass over the tokens, so the rounds follow from the widths of a key
 * and of a digit alone, for any goal and any number of ties. Among the tokens with the last key the order is that of their places.
 *
 * Tokens lie in parts. A round leaves one sum for each part, and the next round adds them up before it begins: so it is one kernel with a
 * block for each part, and where lanes are many, digits are wide and rounds are few.
 */
import { indexing, pad, rename, size, split } from "./axes.js"
import { call } from "./call.js"
import { choice } from "./choice.js"
import { max, sum } from "./fold.js"
import { cast, map, mapTo, outer, outerTo } from "./map.js"
import { at, iota, literal } from "./memory.js"
import { fromBits, toF32, toI32 } from "./scalar.js"
import type { Tensor } from "./tensor.js"

/** Parts at most: enough that with their candidates they fill a device, few enough that every block of the next round can add them up. */
const mostParts = 132
/** Tokens of a part at least: so many that adding up the parts is little work beside. */
const leastTokens = 128
/** Tokens of one group of a part: where ties end is looked for among the parts, then among groups, then among tokens. */
const groupTokens = 32
/** Tokens of which the parts of a large vocabulary are multiples: 32 lanes take four loads of 16 bytes at once. */
const wholeLoads = 512
const keyBits = 32

export type Parts = "part" | "member"
export type Keys = Tensor<Parts, "u32">
export type Weights = Tensor<Parts>
type Key = Tensor<never, "u32">

/** The tokens in parts, the last of which is filled up with `rest`. */
export function inParts(x: Tensor<"vocab">, rest: number): Tensor<Parts> {
  const tokens = size(x, "vocab")
  const share = Math.max(Math.min(tokens, leastTokens), tokens / mostParts)
  const multiple = share > wholeLoads ? wholeLoads : groupTokens
  const member = Math.ceil(share / multiple) * multiple
  const part = Math.ceil(tokens / member)
  return split(pad(x, "vocab", 0, part * member - tokens, rest), "vocab", { part, member })
}

/** A u32 key in the order of the values of an f32 with these bits: negative numbers have all bits turned, the others their sign. */
export const ordered = (word: number): number => (word >>> 31 === 0 ? word ^ 0x80000000 : ~word)

/** The value of a key. */
export const keyValue = (key: number): number => fromBits(key >>> 31 === 0 ? ~key : key ^ 0x80000000)

/** The weight of the tokens with a key; 0 for the key before all tokens. */
export const weightOf = (key: number): number => (key === 0 ? 0 : Math.exp(keyValue(key)))

/** A goal that no sum reaches, so that all tokens are kept. */
export const off = Number.POSITIVE_INFINITY
/** A goal that the first token reaches, whose weight is 1; and of weights what is not divided by. */
export const least = 1e-30

/** Where a prefix of the tokens ends in descending order. */
export type End = {
  readonly key: Key
  /** Part by part, the number of the tokens with larger keys, and their weights. */
  readonly count: Tensor<"part">
  readonly mass: Tensor<"part">
  /** The number of tokens with the key. */
  readonly tied: Tensor<"part", "i32">
}

/** Tokens in their order: keys, weights, and what both bisections begin with. */
export type Ordered = {
  readonly keys: Keys
  readonly weights: Weights
  readonly firstRounds: { readonly count: Sums; readonly mass: Sums }
}
type Sums = Tensor<"part" | "digit">

/** Tokens by keys, whose weights are not negative. */
export function inOrder(keys: Keys, weights: Weights): Ordered {
  const rounds = (keys: Keys, weights: Weights) => {
    const candidate = candidates(digitBits(), literal(0, "u32"), literal(keyBits - digitBits(), "u32"))
    return { count: byCount(keys, weights, candidate), mass: byMass(keys, weights, candidate) }
  }
  return { keys, weights, firstRounds: call(rounds, keys, weights) }
}

export const digitBits = () => choice("digitBits", 2)

/** What the tokens from each candidate on are worth, part by part. */
type Worth = (keys: Keys, weights: Weights, candidate: Tensor<"digit", "u32">) => Sums
const byCount: Worth = (keys, _, candidate) =>
  sum(
    outerTo("f32", (k, c) => toF32(k >= c), keys, candidate),
    "member",
  )
const byMass: Worth = (keys, weights, candidate) =>
  sum(
    outer((k, w, c) => (k >= c ? w : 0), keys, weights, candidate),
    "member",
  )

/** The largest key, from `least` on, such that there are `goal` tokens from it on; `least` when there are fewer. */
export const endByCount = (tokens: Ordered, goal: Tensor<never>, least: Key): End =>
  end(byCount, tokens.firstRounds.count, tokens, goal, least)

/** The largest key, from `least` on, such that the tokens from it on weigh `goal`; `least` when they weigh less. */
export const endByMass = (tokens: Ordered, goal: Tensor<never>, least: Key): End =>
  end(byMass, tokens.firstRounds.mass, tokens, goal, least)

/** A round: the bits found so far, and what is reached with each value of the next digit, part by part. */
type Round = {
  readonly found: Key
  readonly sums: Sums
}

function end(worth: Worth, sums: Sums, { keys, weights }: Ordered, goal: Tensor<never>, least: Key): End {
  const width = digitBits()
  const round = (last: Round, before: Key, shift: Key, keys: Keys, weights: Weights, goal: Tensor<never>): Round => ({
    found: advance(width, last, before, goal),
    sums: worth(keys, weights, candidates(width, advanceAgain(width, last, before, goal), shift)),
  })
  const finish = (last: Round, shift: Key, keys: Keys, weights: Weights, goal: Tensor<never>, least: Key) => {
    const key = map((f, l) => Math.max(f, l), advance(width, last, shift, goal), least)
    const again = map((f, l) => Math.max(f, l), advanceAgain(width, last, shift, goal), least)
    return { key, ...around(again, keys, weights) }
  }
  let last: Round = { found: literal(0, "u32"), sums }
  let shift = literal(keyBits - width, "u32")
  for (let at = keyBits - 2 * width; at >= 0; at -= width) {
    const before = shift
    shift = literal(at, "u32")
    last = call(round, last, before, shift, keys, weights, goal)
  }
  return call(finish, last, shift, keys, weights, goal, least)
}

/** What is found with each value of the next digit but 0, which needs no trial. */
function candidates(digitBits: number, found: Key, shift: Key): Tensor<"digit", "u32"> {
  const digits = cast(iota("digit", 2 ** digitBits - 1, 1, "digit"), "u32")
  return map((d, high, s) => high | (d << s), digits, found, shift)
}

/** What is found with the largest value of the next digit that reaches the goal. */
function advance(digitBits: number, { found, sums }: Round, shift: Key, goal: Tensor<never>): Key {
  const holds = mapTo(
    "u32",
    (r, c, g) => (r >= g ? c : 0),
    sum(sums, "part"),
    candidates(digitBits, found, shift),
    goal,
  )
  return map((f, n) => Math.max(f, n), found, max(holds, "digit"))
}

/** The same, said along another axis: whoever reads it need not wait for the kernel that stores the first. */
function advanceAgain(digitBits: number, { found, sums }: Round, shift: Key, goal: Tensor<never>): Key {
  const holds = mapTo(
    "u32",
    (r, c, g) => (r >= g ? c : 0),
    rename(sum(sums, "part"), "digit", "value"),
    rename(candidates(digitBits, found, shift), "digit", "value"),
    goal,
  )
  return map((f, n) => Math.max(f, n), found, max(holds, "value"))
}

/** Part by part: the tokens before the key and their weights, and the tokens with it. */
function around(key: Key, keys: Keys, weights: Weights) {
  return {
    count: sum(
      mapTo("f32", (k, c) => toF32(k > c), keys, key),
      "member",
    ),
    mass: sum(
      map((k, c, w) => (k > c ? w : 0), keys, key, weights),
      "member",
    ),
    tied: sum(
      mapTo("i32", (k, c) => toI32(k === c), keys, key),
      "member",
    ),
  }
}

/**
 * The place of the token that is the `wanted`th (from 1) of those with the last key, or of the last of them; below 0 when none is wanted. `before`
 * is their number in all parts before each. Sums over what is before, and no prefixes: each is shared among lanes.
 */
export function placeOfTied(keys: Keys, { key }: End, before: End["tied"], wanted: Count): Count {
  const members = size(keys, "member")
  const ofParts = rename(before, "part", "place")
  const part = nth(ofParts, wanted)
  const inside = call(tiedInside, keys, key, part.index)
  const group = nth(rename(inside.beforeGroup, "group", "place"), part.rest)
  const one = nth(at(inside.beforeToken, "group", indexing(group.index, "group")), group.rest)
  return map((p, g, o) => p * members + g * groupTokens + o, part.index, group.index, one.index)
}

/** How many tokens with the last key are in all parts before each. */
export const tiedBefore = ({ tied }: End): End["tied"] => {
  const other = rename(tied, "part", "other")
  const places = size(tied, "part")
  const earlier = outerTo(
    "i32",
    (n, o, p) => (o < p ? n : 0),
    other,
    iota("other", places, 0, "part"),
    iota("part", places, 0, "part"),
  )
  return sum(earlier, "other")
}

/** The same inside of one part: before each group, and in each group before each token. */
function tiedInside(keys: Keys, key: Key, part: Count) {
  const members = size(keys, "member")
  const groups = members / groupTokens
  const same = mapTo("i32", (k, c) => toI32(k === c), at(keys, "part", indexing(part, "part")), key)
  const beforeGroup = outerTo(
    "i32",
    (n, m, g) => (m < g * groupTokens ? n : 0),
    same,
    iota("member", members, 0, "member"),
    iota("group", groups, 0, "group"),
  )
  const inGroups = split(same, "member", { group: groups, other: groupTokens })
  const beforeToken = outerTo(
    "i32",
    (n, o, p) => (o < p ? n : 0),
    inGroups,
    iota("other", groupTokens, 0, "place"),
    iota("place", groupTokens, 0, "place"),
  )
  return { beforeGroup: sum(beforeGroup, "member"), beforeToken: sum(beforeToken, "other") }
}

type Count = Tensor<never, "i32">

/** In which of the places the `wanted`th is when there are so many before each, and its number there. */
function nth(before: Tensor<"place", "i32">, wanted: Count) {
  const index = map(
    (b, w, place) => (b < w ? place : -1),
    before,
    wanted,
    iota("place", size(before, "place"), 0, "place"),
  )
  const passed = map((b, w) => (b < w ? b : 0), before, wanted)
  return { index: max(index, "place"), rest: map((w, p) => w - p, wanted, max(passed, "place")) }
}
