import { attention } from "./attention.js"

export const program = attention(32, 16384)
