/**
 * The names of the clients, for the compiler to check. It is empty until an application augments it, and then any text is a
 * name.
 *
 * @example
 * ```ts
 * declare module 'nestjs-oauth-client' {
 *   interface OAuthClientNames {
 *     buoy: true;
 *   }
 * }
 * ```
 */
export interface OAuthClientNames {}

/** A client's name: one of {@link OAuthClientNames}, or any text as long as that is empty. */
export type OAuthClientName = [keyof OAuthClientNames] extends [never]
  ? string
  : Extract<keyof OAuthClientNames, string>;

/** A value for each client by its name: one of {@link OAuthClientNames}, or any text as long as that is empty. */
export type PerOAuthClient<T> = string extends OAuthClientName
  ? Record<string, T>
  : { [name in OAuthClientName]?: T | undefined };
