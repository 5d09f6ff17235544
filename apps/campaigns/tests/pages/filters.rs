//! A filter that names nothing is told so, by programs' routes and by pages: an empty list would say that there is nothing.

use axum::http::StatusCode;

use super::{new_site, under_way};

#[tokio::test]
async fn a_list_that_is_narrowed_by_what_there_is_not_says_what_that_is() {
    let (_dir, site) = new_site().await;
    let (filled, _) = under_way(&site, "x").await;
    let campaign = filled.campaign;
    for (path, said) in [
        ("/touches?campaign=99", "there is no campaign 99".to_owned()),
        ("/touches?campaign=0&status=sent", "there is no campaign 0".to_owned()),
        (
            &format!("/touches?campaign={campaign}&step=9"),
            format!("there is no step 9 of campaign {campaign}"),
        ),
        ("/touches?step=0", "there is no step 0".to_owned()),
        ("/touches?step=53", "there is no step 53".to_owned()),
        ("/contacts?list=99", "there is no list 99".to_owned()),
        ("/contacts?list=0&begins=bob", "there is no list 0".to_owned()),
    ] {
        let told = site.get(&format!("/v1{path}")).await.problem(StatusCode::NOT_FOUND, "not_found");
        assert_eq!(told, said, "{path}");
    }
    for path in ["/touches?before=soon", "/campaigns?before=soon", "/imports?before=1.5", "/contacts?after=x"]
    {
        let told = site.get(&format!("/v1{path}")).await;
        assert!(told.problem(StatusCode::BAD_REQUEST, "bad_request").contains("a whole number"), "{path}");
    }
    // What there is, and nobody has, is an empty list.
    for path in [
        "/touches?step=52",
        "/touches?status=bounced",
        &format!("/touches?campaign={campaign}&variant=E"),
        "/contacts?list=1&begins=nobody",
    ] {
        assert_eq!(site.asked(path).await.as_array().map(Vec::len), Some(0), "{path}");
    }
}

#[tokio::test]
async fn a_page_that_is_narrowed_by_what_there_is_not_says_so_where_the_rows_would_be() {
    let (_dir, site) = new_site().await;
    under_way(&site, "x").await;
    for (path, said) in [
        ("/touches?campaign=99", "There is no campaign 99."),
        ("/touches?campaign=1&step=9", "There is no step 9 of campaign 1."),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        super::well_formed(path, &answer.text);
        assert!(
            answer.text.contains(said) && answer.text.contains("id=\"filter\""),
            "{path}: {}",
            answer.text
        );
    }
    assert!(site.page("/touches?status=bounced").await.contains("None is meant by this choice"));
    assert!(site.page("/users?edit=Nobody").await.contains("nobody of that name yet"));
    assert!(site.page("/domains?edit=nowhere.example").await.contains("nothing is set for that domain yet"));
    for path in ["", "/touches", "/contacts", "/imports", "/suppressions", "/audit"] {
        let answer = site.get(&format!("{path}?before=soon")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert!(answer.text.contains("before: a whole number"), "{path}: {}", answer.text);
    }
    assert_eq!(site.get("/reviews?after=soon").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}
