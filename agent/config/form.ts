import type * as z from 'zod'

/** A fragment of a JSON schema. */
export type JsonSchema = { readonly [key: string]: unknown }

/** How values of a type are written in the file. */
export interface Form {
  /** The values that an editor accepts, besides a placeholder. */
  readonly schema: JsonSchema
  /** Writes the value as text; absent if the value is written as it is. */
  readonly write?: (value: unknown) => string
}

/** Filled when the modules that declare settings load. */
const FORMS = new WeakMap<z.ZodType, Form>()

/** Registers how values of a type are written; returns the type. */
export function written<Z extends z.ZodType>(type: Z, schema: JsonSchema, write?: (value: z.output<Z>) => string): Z {
  FORMS.set(type, { schema, ...(write ? { write: write as (value: unknown) => string } : {}) })
  return type
}

/** The registered form of a type; any text if none is registered. */
export function formOf(type: z.ZodType): Form {
  return FORMS.get(type) ?? { schema: { type: ['string', 'number', 'boolean'] } }
}
