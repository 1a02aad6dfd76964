import { UseFilters, UseInterceptors, applyDecorators, createParamDecorator } from '@nestjs/common';
import type { AccessToken } from '../core/access-token.js';
import { ambientToken } from '../core/ambient-requests.js';
import type { OAuthClientName } from '../core/client-names.js';
import { OAuthClientError } from '../core/errors.js';
import { RpcPartnerFailureFilter } from './partner-failure.js';
import { addUse, interceptorFor, useOf, type HandlerTokenRequest } from './use-oauth-client.interceptor.js';

/**
 * For controllers and handlers that call a partner: the token is there before the handler runs, `request` holds
 * for every call of that client inside it, and failures become 502, 503 or 504. Stack it for several clients; for
 * the same client the handler's request replaces the controller's. Message handlers answer with the same problem,
 * GraphQL resolvers with an error that has client, code and status as `extensions`; on field resolvers Nest runs it
 * only with `fieldResolverEnhancers: ['interceptors']`. An unknown name fails at boot.
 *
 * @example
 * `@UseOAuthClient('buoy', (context) => ({ scope: scopeOf(context.switchToHttp().getRequest()) }))`
 */
export function UseOAuthClient(
  name: OAuthClientName,
  request?: HandlerTokenRequest,
): ClassDecorator & MethodDecorator {
  const use = useOf(request);
  return applyDecorators(
    addUse(name, use),
    UseInterceptors(interceptorFor(name, use)),
    UseFilters(RpcPartnerFailureFilter),
  );
}

/**
 * Handler parameter: the {@link AccessToken} that `@UseOAuthClient(name)` acquired.
 *
 * @example queries(@OAuthToken('buoy') token: AccessToken) {}
 */
export const OAuthToken: ReturnType<typeof createParamDecorator<OAuthClientName, AccessToken>> =
  createParamDecorator((name: OAuthClientName, context): AccessToken => {
    const token = ambientToken(name, context.getHandler());
    if (token !== undefined) return token;
    throw new OAuthClientError(
      'unknown_client',
      `@OAuthToken("${name}") finds no token: put @UseOAuthClient("${name}") on the handler or its controller.`,
      { client: name },
    );
  });
