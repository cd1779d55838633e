/**
 * `weft/internal/attach`: what the front end inserts into a model's file. Not for people: it has no types, no editor offers it, and it changes
 * with the compiler that comes in the same package.
 */
export { __at, __scalar } from "./attach.js"
