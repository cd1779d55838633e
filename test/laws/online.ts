/**
 * Programs with folds that wait for one another, before and after hoist and online.
 *
 *   withOnlineFolds(buildProgram(recipe))   →   the program with one fold for each group of them, however short the axis and wherever the score lies
 */

import type fc from "fast-check"
import type * as ir from "../../compiler/ir/tensor.js"
import { hoist } from "../../compiler/tensor/hoist.js"
import { online } from "../../compiler/tensor/online.js"
import { ownOutputs } from "../../compiler/tensor/own-outputs.js"
import { simplified } from "./execute.js"
import { type LawProgram, type Recipe, recipes, rootsOf } from "./generate.js"
import { choosesDependent } from "./steps.js"

/** Programs of which every other step has folds that wait for one another. */
export const dependentRecipes = (packed = true): fc.Arbitrary<Recipe> =>
  recipes("analytic", packed).map((recipe) => ({
    ...recipe,
    steps: recipe.steps.map((s, i) => (i % 2 === 0 ? [choosesDependent, ...s.slice(1)] : s)),
  }))

/** The program with other roots, in their order. */
export function withRoots(p: LawProgram, roots: readonly ir.Tensor[]): LawProgram {
  const outputs = ownOutputs(roots.slice(0, p.outputs.length))
  const rest = roots.slice(p.outputs.length)
  return { ...p, outputs, updates: p.updates.map(({ state }, i) => ({ state, tensor: rest[i]! })) }
}

export const hoisted = (p: LawProgram): LawProgram =>
  withRoots(p, hoist(rootsOf(simplified(p)), undefined, { products: 1 }))

export const withOnlineFolds = (p: LawProgram): LawProgram =>
  withRoots(p, online(rootsOf(hoisted(p)), { held: 0, stored: true }))
