import type * as z from 'zod'

/** A fragment of a JSON schema. */
export type JsonSchema = { readonly [key: string]: unknown }

/** How values of a type are written in the file. */
export interface Form {
  /** What an editor may take, besides a placeholder. */
  readonly schema: JsonSchema
  /** The value as text; absent where the value itself is what is written. */
  readonly write?: (value: unknown) => string
}

/** Settings are declared once, when their modules load. */
const FORMS = new WeakMap<z.ZodType, Form>()

/** Tells how values of a type are written; returns the type. */
export function written<Z extends z.ZodType>(type: Z, schema: JsonSchema, write?: (value: z.output<Z>) => string): Z {
  FORMS.set(type, { schema, ...(write ? { write: write as (value: unknown) => string } : {}) })
  return type
}

/** The form of a type; any text where nothing else was told. */
export function formOf(type: z.ZodType): Form {
  return FORMS.get(type) ?? { schema: { type: ['string', 'number', 'boolean'] } }
}
