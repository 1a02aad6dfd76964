import { Module, type DynamicModule } from '@nestjs/common';
import type { AxiosResponse, InternalAxiosRequestConfig } from 'axios';
import type { OAuthClientOptions } from '../options/client-options.js';
import { OAuthClientModule } from '../nest/oauth-client.module.js';

/** Answers an API request instead of the network: the response's data, or a promise of it. */
export type FixedAnswer = (config: InternalAxiosRequestConfig) => unknown;

/** What a client of the {@link OAuthClientTestingModule} has. */
export interface FixedClient {
  /** The access token it always gets. Default `test-token`. */
  token?: string | undefined;
  /** Answers what its `HttpService` sends. Default: such a request fails, and says what to do. */
  answer?: FixedAnswer | undefined;
}

const TOKEN_ENDPOINT = 'https://authorization-server.test/token';
const TOKEN_LIFETIME_S = 24 * 3_600;

/**
 * `OAuthClientModule` for unit tests: everything is injectable as in the application, the tokens are fixed, and
 * nothing reaches the network.
 *
 * @example
 * ```ts
 * const module = await Test.createTestingModule({
 *   imports: [OAuthClientTestingModule.forRoot({ buoy: { answer: () => ({ text: 'hip', suggestions: [] }) } })],
 *   providers: [TriageService],
 * }).compile();
 * ```
 */
@Module({})
export class OAuthClientTestingModule {
  /** @param clients names, or by name: the token, or what {@link FixedClient} tells; global, as `OAuthClientModule.forRoot()` is */
  static forRoot(clients: readonly string[] | Record<string, string | FixedClient>): DynamicModule {
    const fixed: [string, string | FixedClient][] = Array.isArray(clients)
      ? clients.map((name: string) => [name, {}])
      : Object.entries(clients as Record<string, string | FixedClient>);
    const options = Object.fromEntries(fixed.map(([name, client]) => [name, optionsOf(name, client)]));
    const root = OAuthClientModule.forRoot({ clients: options });
    return { module: OAuthClientTestingModule, global: true, imports: [root], exports: [root] };
  }
}

function optionsOf(name: string, client: string | FixedClient): OAuthClientOptions {
  const { token = 'test-token', answer }: FixedClient =
    typeof client === 'string' ? { token: client } : client;
  const adapter = async (config: InternalAxiosRequestConfig): Promise<AxiosResponse> => {
    const issued = { access_token: token, token_type: 'Bearer', expires_in: TOKEN_LIFETIME_S };
    const isTokenRequest = config.url === TOKEN_ENDPOINT;
    if (!isTokenRequest && !answer) {
      const request = `${(config.method ?? 'get').toUpperCase()} ${config.url ?? ''}`;
      throw new Error(
        `No network in tests: ${request} of client "${name}" has no answer. Give OAuthClientTestingModule.forRoot({ '${name}': { answer } }), or overrideProvider(getOAuthHttpToken('${name}')).`,
      );
    }
    const data: unknown = isTokenRequest ? JSON.stringify(issued) : await answer?.(config);
    return { data, status: 200, statusText: 'OK', headers: {}, config };
  };
  return {
    clientId: name,
    clientSecret: 'unused',
    tokenEndpoint: TOKEN_ENDPOINT,
    baseURL: `https://${name.replace(/[^a-z\d]+/gi, '-')}.test`,
    http: { adapter },
  };
}
