/**
 * Where the filters of a draw end, digit by digit, by counting: each round adds the tokens with the bits found so far to the bins of their next digit.
 *
 *     keys [0x39 0x91 0x97 0x10], 2 wanted, digits of 4 bits    → bins 9: 2, 3: 1, 1: 1                  → digit 9, nothing above
 *                               of the two with digit 9         → bins 7: 1, 1: 1                        → key 0x91, one above
 *
 * A round looks at each token once, however wide the digit: where lanes are many, digits are wide and rounds are few. Counts are integers, and so are
 * weights here: two digits each, of so many bits that no sum of a part overflows; so their sums are the same in any order.
 *
 * The first search is by count. The second one is by weight, of what the first one keeps, and begins with the same bins. What has been found along the
 * way is stored by one block; all others find it again from the bins of the round before, so that a round is one kernel.
 */
import { indexing, pad, rename, size, split } from "./axes.js"
import { type Keys, least, off, type Parts, type Weights, weightOf } from "./bisect.js"
import { call } from "./call.js"
import { max, sum } from "./fold.js"
import { map, mapTo, outerTo } from "./map.js"
import { at, iota, literal } from "./memory.js"
import { toF32, toI32, toU32 } from "./scalar.js"
import type { Tensor } from "./tensor.js"

const keyBits = 32
/** Bits of a digit from which tokens are added to bins: of fewer, sums for each candidate are as little work. */
export const countedBits = 8
/** Parts at most: each has bins of its own, which every block of the next round adds up. */
const mostParts = 32
/** Tokens of a part at least: fewer are less work than adding up the bins of one more. */
const leastTokens = 1024
/** Tokens of which a part is a multiple: 16 bytes. */
const wholeLoads = 4

/** The tokens in parts, the last of which is filled up with `rest`. */
export function inFewParts(x: Tensor<"vocab">, rest: number): Tensor<Parts> {
  const tokens = size(x, "vocab")
  const member = wholeLoads * Math.ceil(Math.max(tokens / mostParts, Math.min(tokens, leastTokens)) / wholeLoads)
  const part = Math.ceil(tokens / member)
  const more = part * member - tokens
  return split(more === 0 ? x : pad(x, "vocab", 0, more, rest), "vocab", { part, member })
}

type Single = Tensor<never>
type Key = Tensor<never, "u32">
type Bins = Tensor<"bin" | "part">

/** What is found: the bits so far, and the number and the weight of the tokens above all that have them. */
type Found = {
  readonly key: Key
  readonly count: Single
  readonly mass: Single
}

/** A round: what is found, and of the tokens with those bits the number and the weight by their next digit, part by part. */
type Round = {
  readonly found: Found
  readonly count: Bins
  readonly mass: Bins
}

/** Tokens by keys, whose weights are between 0 and 1, and digits of how many bits they are looked at by. */
export interface Counted {
  readonly keys: Keys
  readonly weights: Weights
  readonly bits: number
}

/** Where the first filter ends, and what the second one is to weigh. */
export type First = {
  readonly key: Key
  /** Of the tokens with the key so many are among the first. */
  readonly most: Single
  /** Part by part, so many tokens have the key. */
  readonly tied: Tensor<"part", "i32">
  readonly goal: Single
}

/** Where both filters end: the key, and of the tokens with it which one is the last. */
export type Last = {
  readonly key: Key
  readonly part: Tensor<never, "i32">
  readonly wanted: Tensor<never, "i32">
  readonly tied: Tensor<"group" | "row", "i32">
}

/** Whether the bits above a digit of so many bits are those of another key. */
const isOf = (key: number, of: number, shift: number, bits: number): boolean => ((key ^ of) >>> shift) >>> bits === 0
const digitAt = (key: number, shift: number, bits: number): number => toI32((key >>> shift) & (2 ** bits - 1))

/** Of the tokens whose bits above a digit are those of a key, the sums by that digit. */
function countOf(bits: number, keys: Keys, key: Key, shift: Key): Bins {
  const ones = outerTo(
    "i32",
    (bin, k, of, s) => toI32(isOf(k, of, s, bits) && digitAt(k, s, bits) === bin),
    iota("bin", 2 ** bits, 0, "bin"),
    keys,
    key,
    shift,
  )
  return mapTo("f32", (n) => toF32(n), sum(ones, "member"))
}

function massOf({ keys, weights, bits }: Counted, key: Key, shift: Key): Bins {
  // So many numbers of up to 2^scaleBits add up to less than 2^32.
  const scale = 2 ** (31 - Math.floor(Math.log2(size(keys, "member"))))
  const bins = iota("bin", 2 ** bits, 0, "bin")
  const coarse = outerTo(
    "u32",
    (bin, k, w, of, s) => (isOf(k, of, s, bits) && digitAt(k, s, bits) === bin ? toU32(w * scale) : 0),
    bins,
    keys,
    weights,
    key,
    shift,
  )
  const fine = outerTo(
    "u32",
    (bin, k, w, of, s) =>
      isOf(k, of, s, bits) && digitAt(k, s, bits) === bin ? toU32((w * scale - Math.floor(w * scale)) * scale) : 0,
    bins,
    keys,
    weights,
    key,
    shift,
  )
  const [c, f] = [sum(coarse, "member"), sum(fine, "member")]
  return mapTo("f32", (c, f) => (toF32(c) + toF32(f) / scale) / scale, c, f)
}

const nothing = (): Key => literal(0, "u32")
const shiftOf = (round: number, bits: number): Key => literal(keyBits - (round + 1) * bits, "u32")

/** The bins of the first digit, with which both searches begin. */
export function firstRound({ keys, weights, bits }: Counted): Round {
  const bins = (keys: Keys, weights: Weights) => ({
    count: countOf(bits, keys, nothing(), shiftOf(0, bits)),
    mass: massOf({ keys, weights, bits }, nothing(), shiftOf(0, bits)),
  })
  return { found: { key: nothing(), count: literal(0), mass: literal(0) }, ...call(bins, keys, weights) }
}

/** The sums of all parts. */
type Sums = (bins: Bins) => Tensor<"bin">
/** They, and the same along an axis of another name: who reads what is found in one way need not wait for the kernel that stores what is found in another. */
const all: Sums = (bins) => sum(bins, "part")
const again: Sums = (bins) => sum(rename(bins, "part", "share"), "share")
const onceMore: Sums = (bins) => sum(rename(bins, "part", "parcel"), "parcel")

/**
 * The last digit from the largest down at which the goal is reached, or 0, and what is reached above it: its upper half among sums of bins, then the
 * lower one.
 */
function digitOf(sums: Tensor<"bin">, above: Single, goal: Single) {
  const bins = size(sums, "bin")
  const low = 2 ** (Math.log2(bins) >> 1)
  const rows = split(sums, "bin", { high: bins / low, low })
  const high = reaching(rename(sum(rows, "low"), "high", "digit"), above, goal)
  const row = at(rows, "high", indexing(high.digit, "high"))
  const last = reaching(rename(row, "low", "digit"), high.above, goal)
  return { digit: mapTo("i32", (h, l) => h * low + l, high.digit, last.digit), above: last.above }
}

/** The last place from the last one down at which the goal is reached, or 0, and what is reached above it. */
function reaching(worth: Tensor<"digit">, above: Single, goal: Single) {
  const count = size(worth, "digit")
  const places = iota("digit", count + 1, 0, "digit")
  const others = iota("other", count, 0, "other")
  const from = sum(
    outerTo("f32", (w, o, p) => (o >= p ? w : 0), rename(worth, "digit", "other"), others, places),
    "other",
  )
  const reached = map((s, a) => a + s, from, above)
  const digit = max(
    mapTo("i32", (s, g, p) => (s >= g ? Math.min(toI32(p), count - 1) : 0), reached, goal, places),
    "digit",
  )
  return {
    digit,
    above: at(
      reached,
      "digit",
      indexing(
        map((d) => d + 1, digit),
        "digit",
      ),
    ),
  }
}

/** The sum of the bins above a digit. */
const beyondOf = (sums: Tensor<"bin">, digit: Tensor<never, "i32">): Single =>
  sum(
    mapTo("f32", (w, b, d) => (b > d ? w : 0), sums, iota("bin", size(sums, "bin"), 0, "bin"), digit),
    "bin",
  )

const plus = (a: Single, b: Single): Single => map((x, y) => x + y, a, b)
const withDigit = (key: Key, digit: Tensor<never, "i32">, shift: Key): Key =>
  mapTo("u32", (k, d, s) => k | (toU32(d) << s), key, digit, shift)

/** What is found when the tokens are counted from the largest key on until there are as many as wanted. */
function foundByCount({ found, count, mass }: Round, wanted: Single, shift: Key, sums: Sums): Found {
  const [counts, masses] = [sums(count), sums(mass)]
  const { digit, above } = digitOf(counts, found.count, wanted)
  return { key: withDigit(found.key, digit, shift), count: above, mass: plus(found.mass, beyondOf(masses, digit)) }
}

/** The rounds of the search by count, up to the one whose bins are of the last digit. */
export function countRounds(begin: Round, { keys, weights, bits }: Counted, wanted: Single): Round {
  const round = (last: Round, before: Key, shift: Key, keys: Keys, weights: Weights, wanted: Single): Round => {
    const { key } = foundByCount(last, wanted, before, again)
    return {
      found: foundByCount(last, wanted, before, all),
      count: countOf(bits, keys, key, shift),
      mass: massOf({ keys, weights, bits }, key, shift),
    }
  }
  let last = begin
  for (let n = 1; n < keyBits / bits; n++)
    last = call(round, last, shiftOf(n - 1, bits), shiftOf(n, bits), keys, weights, wanted)
  return last
}

/** Where the search by count ends, from the bins of its last digit; `share` is what the second one keeps of the weight of the first, above 1 all of it. */
function ended(last: Round, wanted: Single, share: Single, bits: number, sums: Sums): First {
  const counts = sums(last.count)
  const { digit } = digitOf(counts, last.found.count, wanted)
  const { key, count, mass } = foundByCount(last, wanted, shiftOf(keyBits / bits - 1, bits), sums)
  const most = map((n, above, w) => Math.min(w - above, n), at(counts, "bin", indexing(digit, "bin")), count, wanted)
  const goal = mapTo(
    "f32",
    (p, m, n, k) => (p < 1 ? Math.max(p * (m + n * weightOf(k)), least) : off),
    share,
    mass,
    most,
    key,
  )
  const tied = mapTo("i32", (n) => toI32(n), at(last.count, "bin", indexing(digit, "bin")))
  return { key, most, tied, goal }
}

type MassRound = {
  readonly key: Key
  readonly above: Single
  readonly mass: Bins
}

function foundByMass({ key, above, mass }: MassRound, goal: Single, shift: Key, sums: Sums) {
  const masses = sums(mass)
  const next = digitOf(masses, above, goal)
  return { key: withDigit(key, next.digit, shift), above: next.above, digit: next.digit }
}

/** The rounds of the search by weight, up to the one whose bins are of the last digit; of that one with the numbers of tokens. */
export function massRounds(begin: Round, counted: Round, tokens: Counted, wanted: Single, share: Single) {
  const { bits } = tokens
  const rounds = keyBits / bits
  const firstEnd = (counted: Round, wanted: Single, share: Single): First => ({
    ...ended(counted, wanted, share, bits, all),
    goal: ended(counted, wanted, share, bits, again).goal,
  })
  const round = (last: MassRound, before: Key, shift: Key, keys: Keys, weights: Weights, goal: Single): MassRound => {
    const { key } = foundByMass(last, goal, before, again)
    const { digit: _, ...found } = foundByMass(last, goal, before, all)
    return { ...found, mass: massOf({ keys, weights, bits }, key, shift) }
  }
  const final = (last: MassRound, before: Key, shift: Key, keys: Keys, weights: Weights, goal: Single) => ({
    ...round(last, before, shift, keys, weights, goal),
    count: countOf(bits, keys, foundByMass(last, goal, before, again).key, shift),
  })
  const { keys, weights } = tokens
  const first = call(firstEnd, counted, wanted, share)
  let last: MassRound = { key: nothing(), above: literal(0), mass: begin.mass }
  for (let n = 1; n < rounds - 1; n++)
    last = call(round, last, shiftOf(n - 1, bits), shiftOf(n, bits), keys, weights, first.goal)
  const end = call(final, last, shiftOf(rounds - 2, bits), shiftOf(rounds - 1, bits), keys, weights, first.goal)
  return { first, last: end }
}

/** Tokens of a row, and rows of a group: where ties end is looked for among parts, then among groups, rows and tokens. */
const [rowTokens, groupRows, groupParts] = [32, 16, 8]

/** Where both filters end. */
export function lastOf(ends: ReturnType<typeof massRounds>, keys: Keys): Last {
  const { key } = endOf(ends, all)
  const { part, rest } = partOf(ends, again)
  const other = partOf(ends, onceMore)
  const here = at(inGroups(keys), "part", indexing(other.part, "part"))
  const same = mapTo("i32", (k, l) => toI32(k === l), here, other.key)
  return { key, part, wanted: rest, tied: sum(same, "token") }
}

/** The key at which both filters end, and the tokens with it, part by part. */
function endOf({ first, last }: ReturnType<typeof massRounds>, sums: Sums) {
  const found = foundByMass(last, first.goal, nothing(), sums)
  const key = map((a, b) => Math.max(a, b), found.key, first.key)
  const ofDigit = at(last.count, "bin", indexing(found.digit, "bin"))
  const tied = mapTo("i32", (k, l, n, m) => (k < l ? m : toI32(n)), found.key, first.key, ofDigit, first.tied)
  return { key, found, tied }
}

/** In which part the last token is that is kept of those with the key, and its number there. */
function partOf(ends: ReturnType<typeof massRounds>, sums: Sums) {
  const { first } = ends
  const { key, found, tied } = endOf(ends, sums)
  const kept = mapTo(
    "i32",
    (goal, above, k, l, most) => {
      // What is kept weighs less than the goal when that is not reached before the first filter ends.
      const n = k < l ? most : Math.ceil((goal - above) / Math.max(weightOf(k), least))
      return toI32(k === l ? Math.min(n, most) : n)
    },
    first.goal,
    found.above,
    found.key,
    first.key,
    first.most,
  )
  return { key, ...nthOfGroups(tied, kept) }
}

/** The part of the `wanted`th, by groups of parts: sums over all that are before each of many are as many as their square. */
function nthOfGroups(tied: Tensor<"part", "i32">, wanted: Tensor<never, "i32">) {
  const parts = size(tied, "part")
  const more = Math.ceil(parts / groupParts) * groupParts - parts
  const whole = more === 0 ? tied : pad(tied, "part", 0, more)
  const groups = split(whole, "part", { group: (parts + more) / groupParts, place: groupParts })
  const group = nth(rename(sum(groups, "place"), "group", "place"), wanted)
  const one = nth(at(groups, "group", indexing(group.index, "group")), group.rest)
  return { part: map((g, p) => g * groupParts + p, group.index, one.index), rest: one.rest }
}

/** Parts in groups of rows; beyond the end are tokens that nobody looks for. */
function inGroups(keys: Keys) {
  const members = size(keys, "member")
  const group = Math.ceil(members / (groupRows * rowTokens))
  const more = group * groupRows * rowTokens - members
  const whole = more === 0 ? keys : pad(keys, "member", 0, more)
  return split(whole, "member", { group, row: groupRows, token: rowTokens })
}

/** The place of the last token that is kept of those with the key; below 0 when none is. */
export function placeOfLast({ key, part, wanted, tied }: Last, keys: Keys): Tensor<never, "i32"> {
  const group = nth(rename(sum(tied, "row"), "group", "place"), wanted)
  const row = nth(rename(at(tied, "group", indexing(group.index, "group")), "row", "place"), group.rest)
  const members = size(keys, "member")
  const tokens = iota("place", rowTokens, 0, "place")
  const places = mapTo("i32", (t, g, r) => (g * groupRows + r) * rowTokens + toI32(t), tokens, group.index, row.index)
  const ofRow = at(at(keys, "part", indexing(part, "part")), "member", indexing(places, "member"))
  const same = mapTo("i32", (k, p, l) => toI32(p < members && k === l), ofRow, places, key)
  const token = nth(same, row.rest)
  return map(
    (p, g, r, t) => p * members + (g * groupRows + r) * rowTokens + t,
    part,
    group.index,
    row.index,
    token.index,
  )
}

/** In which of the places the `wanted`th is when each has so many, and its number there; below 0 when none is wanted. */
function nth(counts: Tensor<"place", "i32">, wanted: Tensor<never, "i32">) {
  const count = size(counts, "place")
  const places = iota("place", count, 0, "place")
  const others = iota("other", count, 0, "other")
  const before = sum(
    outerTo("i32", (n, o, p) => (o < p ? n : 0), rename(counts, "place", "other"), others, places),
    "other",
  )
  const index = max(
    mapTo("i32", (b, w, p) => (b < w ? toI32(p) : -1), before, wanted, places),
    "place",
  )
  const passed = map((b, w) => (b < w ? b : 0), before, wanted)
  return { index, rest: map((w, p) => w - p, wanted, max(passed, "place")) }
}
